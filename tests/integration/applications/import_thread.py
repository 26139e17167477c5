"""Starts a thread while it is imported, and so cannot be forked safely."""

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"threads: %d\n" % threading.active_count()]
