"""Leaves an object whose slow `__del__` writes MARKER; PATH_INFO says which kind of answer a client counts. With
/thread it leaves a thread instead, which waits for GATE and then writes MARKER."""

import os
import threading
import time

BODY = b"answered\n"


def mark(path=os.environ["MARKER"], sleep=time.sleep, open=os.open, flags=os.O_WRONLY | os.O_CREAT):
    sleep(0.3)
    open(path, flags, 0o644)


class Late:
    def __del__(self, mark=mark):
        mark()


def wait():
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    mark()


def application(environ, start_response):
    global kept
    kind = environ["PATH_INFO"].strip("/")
    if kind == "thread":
        threading.Thread(target=wait).start()
    else:
        kept = Late()
    if kind == "204":
        start_response("204 No Content", [])
        return []
    length = "0" if kind == "empty" else str(len(BODY))
    head = [("Content-Type", "text/plain"), ("Content-Length", length)]
    write = start_response("200 OK", head)
    if kind == "empty":
        return []
    if kind == "write":
        write(BODY)
        return []
    if kind == "chunks":
        return iter([BODY[:3], BODY[3:]])
    if kind == "file":
        path = os.environ["MARKER"] + ".body"
        with open(path, "wb") as file:
            file.write(BODY)
        return environ["wsgi.file_wrapper"](open(path, "rb"))
    return [BODY]
