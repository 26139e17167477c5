"""Trac, in an environment of its own."""

import os

from trac.web.main import dispatch_request


def application(environ, start_response):
    environ["trac.env_path"] = os.path.join(os.environ["DATA"], "project")
    return dispatch_request(environ, start_response)
