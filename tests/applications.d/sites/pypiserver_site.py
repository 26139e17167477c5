"""pypiserver, with uploads by anybody."""

import os

import pypiserver

packages = os.path.join(os.environ["DATA"], "packages")
os.makedirs(packages, exist_ok=True)
application = pypiserver.app(roots=[packages], password_file=".", authenticate=[])
