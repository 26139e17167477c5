"""Leaves something that ends slowly: FINISHES names it, and it writes a line to MARKER at its end. With GATE it waits
for that file, at most 10 s. There is no Content-Length: the response ends with the connection."""

import atexit
import os
import time


def mark(
    path=os.environ["MARKER"],
    gate=os.environ.get("GATE"),
    sleep=time.sleep,
    exists=os.path.exists,
    stat=os.stat,
    open=os.open,
    write=os.write,
    flags=os.O_WRONLY | os.O_CREAT,
):
    for _ in range(100 if gate else 3):
        try:
            if gate and stat(gate):
                break
        except OSError:
            pass
        sleep(0.1)
    write(open(path, flags, 0o644), b"done\n")


class Late:
    def __del__(self, mark=mark):
        mark()


def waits(mark=mark):
    try:
        yield
    finally:
        mark()


def application(environ, start_response):
    global kept
    what = os.environ["FINISHES"]
    if what in ("del", "fails"):
        kept = Late()
    elif what == "generator":
        kept = waits()
        next(kept)
    elif what == "file":
        kept = open(os.environ["MARKER"], "w")
        kept.write("done\n")
    else:
        atexit.register(mark)
    if what == "fails":
        raise ValueError("on purpose")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return answers()


def answers():
    yield b"answered\n"
    yield b"whole\n"
