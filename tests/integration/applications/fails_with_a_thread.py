"""Fails on import. A thread, which waits for the file GATE, and an atexit handler each append a line to MARKER."""

import atexit
import os
import threading
import time

POLL = 0.005
PATIENCE = 20


def append(line):
    with open(os.environ["MARKER"], "a") as marker:
        marker.write(line)


def later():
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(os.environ["GATE"]) and time.monotonic() < deadline:
        time.sleep(POLL)
    append("thread\n")


atexit.register(append, "atexit\n")
threading.Thread(target=later).start()
raise RuntimeError("failed on import, with a thread")
