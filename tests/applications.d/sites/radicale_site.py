"""Radicale, with its files and without passwords."""

import os

from radicale import Application, config

configuration = config.load()
configuration.update(
    {
        "auth": {"type": "none"},
        "rights": {"type": "authenticated"},
        "storage": {"filesystem_folder": os.path.join(os.environ["DATA"], "collections")},
        "logging": {"level": "error"},
    },
    "this site",
    privileged=True,
)
application = Application(configuration)
