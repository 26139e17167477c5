"""Imports a module that only PYTHONPATH or --pythonpath leads to."""

import found_on_the_path


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [found_on_the_path.ANSWER]
