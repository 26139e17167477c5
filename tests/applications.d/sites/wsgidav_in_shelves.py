"""WsgiDAV with its locks and properties in shelves, which are complete when the process has ended. They are opened
in the request, because all children of a zygote share what the import opens."""

import os

import shelves
from wsgidav.lock_man.lock_storage import LockStorageShelve
from wsgidav.prop_man.property_manager import ShelvePropertyManager
from wsgidav.wsgidav_app import WsgiDAVApp

DATA = os.environ["DATA"]
os.makedirs(os.path.join(DATA, "files"), exist_ok=True)
made = None

if os.environ["WAY"] == "CGIHandler":
    # CGIHandler sends a client the last byte before the shelf is closed.
    shelves.wait_for_locked_ones()


def application(environ, start_response):
    global made
    made = made or WsgiDAVApp(
        {
            "mount_path": environ["SCRIPT_NAME"],
            "provider_mapping": {"/": os.path.join(DATA, "files")},
            "simple_dc": {"user_mapping": {"*": True}},
            "property_manager": ShelvePropertyManager(os.path.join(DATA, "properties")),
            "lock_storage": LockStorageShelve(os.path.join(DATA, "locks")),
            "verbose": 0,
            "logging": {"enable_loggers": []},
        }
    )
    return made(environ, start_response)
