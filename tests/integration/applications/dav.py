"""WsgiDAV at the URL DAV_URL, with locks and properties in shelves in the directory DAV. With DAV_MADE=request a
request makes it: if the import opened a shelf, each child of a zygote would have its own copy, and would not see what
another child writes. A shelf that the previous process still holds is an error."""

import os

from wsgidav.lock_man.lock_storage import LockStorageShelve
from wsgidav.prop_man.property_manager import ShelvePropertyManager
from wsgidav.wsgidav_app import WsgiDAVApp


def make():
    place = os.environ["DAV"]
    return WsgiDAVApp(
        {
            "mount_path": os.environ["DAV_URL"],
            "provider_mapping": {"/": os.path.join(place, "files")},
            "simple_dc": {"user_mapping": {"*": True}},
            "property_manager": ShelvePropertyManager(os.path.join(place, "properties")),
            "lock_storage": LockStorageShelve(os.path.join(place, "locks")),
            "verbose": 0,
            "logging": {"enable_loggers": []},
        }
    )


made = make() if os.environ["DAV_MADE"] == "import" else None


def application(environ, start_response):
    global made
    if made is None:
        made = make()
    return made(environ, start_response)
