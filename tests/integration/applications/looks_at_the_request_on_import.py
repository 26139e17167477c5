"""Answers with the request's method, which it looks up while it is imported."""

import os

METHOD = os.environ["REQUEST_METHOD"]


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [METHOD.encode()]
