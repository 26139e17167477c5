"""Ends its process in a way and at a moment that the query names: way=...&at=..."""

import atexit
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from urllib.parse import parse_qs

query = parse_qs(os.environ.get("QUERY_STRING", ""))


def way():
    return query.get("way", [""])[0]


def die():
    name, _, value = way().partition(":")
    if name == "exit":
        os._exit(int(value))
    elif name == "signal":
        os.kill(os.getpid(), int(value))
        time.sleep(600)
    elif name == "crash":
        ctypes.string_at(0)
    elif name == "exec":
        os.execv("/bin/true", ["true"])
    elif name == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif name == "block":
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        time.sleep(600)
    elif name == "hang":
        while True:
            pass
    elif name == "close":
        os.closerange(3, 65536)
        time.sleep(600)
    elif name == "memory":
        resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
        os.abort()
    elif name == "thread":
        threading.Thread(target=os._exit, args=(int(value),)).start()
        time.sleep(600)
    raise SystemExit(f"no such way: {way()}")


def at(moment):
    if query.get("at", [""])[0] == moment:
        print("now", file=sys.stderr, flush=True)
        die()


class Body:
    def __iter__(self):
        at("before-chunk")
        yield b"begun\n"
        at("chunk")
        yield b"ended\n"

    def close(self):
        at("close")


def application(environ, start_response):
    global query
    query = parse_qs(environ["QUERY_STRING"])
    at("call")
    start_response("200 OK", [("Content-Type", "text/plain")])
    atexit.register(at, "atexit")
    return Body()


at("import")
