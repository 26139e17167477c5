#!/usr/bin/python3
"""Python's own CGI bridge, `wsgiref.handlers.CGIHandler`, configured by cgi2wsgi's variables.

CGI2WSGI_TEST_BRIDGE=tests/integration/cgihandler.py runs the table against it: its failures show what cgi2wsgi is for.
"""

import importlib
import os
import runpy
import site
import sys
from glob import glob
from wsgiref.handlers import CGIHandler

for packages in glob(os.path.join(os.environ.get("CGI2WSGI_VENV", ""), "lib/python3*/site-packages")):
    site.addsitedir(packages)
if directory := os.environ.get("CGI2WSGI_CHDIR"):
    os.chdir(directory)
    sys.path.insert(0, directory)
sys.path[:0] = os.environ.get("CGI2WSGI_PYTHONPATH", "").split(":")
named = os.environ.get("CGI2WSGI_APP")
if os.environ.get("CGI2WSGI_HANDLER"):
    # As a short script behind Apache's Action would: it runs the file, and CGIHandler does not know of Action.
    named = os.environ["PATH_TRANSLATED"]
    while len(named) > 1 and not os.path.isfile(named):
        named = os.path.dirname(named)
named = named or sys.argv[1]
if named.startswith("/"):
    sys.path.insert(0, os.path.dirname(named))
    application = runpy.run_path(named)["application"]
else:
    module, _, name = named.partition(":")
    application = getattr(importlib.import_module(module), name or "application")
CGIHandler().run(application)
