"""WsgiDAV, with locks and properties in shelves, in the directory DAV and at the URL DAV_URL. With DAV_MADE=request it is
made there: a shelf that the import has opened is one shelf for each of a zygote's children, and none sees what another
writes. A shelf that the process before still holds is an error."""

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
