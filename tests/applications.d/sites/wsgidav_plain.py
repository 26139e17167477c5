"""WsgiDAV as it is without configuration: its locks are in memory, so each process has its own."""

import os

from wsgidav.wsgidav_app import WsgiDAVApp

DATA = os.environ["DATA"]
os.makedirs(os.path.join(DATA, "files"), exist_ok=True)
application = WsgiDAVApp(
    {
        "mount_path": "/wsgidav",
        "provider_mapping": {"/": os.path.join(DATA, "files")},
        "simple_dc": {"user_mapping": {"*": True}},
        "verbose": 0,
        "logging": {"enable_loggers": []},
    }
)
