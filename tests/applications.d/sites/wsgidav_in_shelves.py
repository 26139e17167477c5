"""WsgiDAV with its locks and properties in shelves, which are complete when the process has ended. The application is made
at the import, as WsgiDAV's documentation has it; the shelves are opened in the request, because all children of a zygote
share what the import opens."""

import os

import shelves
from wsgidav.lock_man.lock_storage import LockStorageShelve
from wsgidav.prop_man.property_manager import ShelvePropertyManager
from wsgidav.wsgidav_app import WsgiDAVApp

DATA = os.environ["DATA"]
os.makedirs(os.path.join(DATA, "files"), exist_ok=True)

if os.environ["WAY"] == "CGIHandler":
    # CGIHandler sends a client the last byte before the shelf is closed.
    shelves.wait_for_locked_ones()


class Locks(LockStorageShelve):
    def open(self):
        """WsgiDAVApp calls this when it is made; a ShelvePropertyManager opens its shelf when it needs it."""


locks = Locks(os.path.join(DATA, "locks"))
dav = WsgiDAVApp(
    {
        "mount_path": "/litmus",
        "provider_mapping": {"/": os.path.join(DATA, "files")},
        "simple_dc": {"user_mapping": {"*": True}},
        "property_manager": ShelvePropertyManager(os.path.join(DATA, "properties")),
        "lock_storage": locks,
        "verbose": 0,
        "logging": {"enable_loggers": []},
    }
)


def application(environ, start_response):
    LockStorageShelve.open(locks)
    return dav(environ, start_response)
