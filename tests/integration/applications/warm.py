"""Writes a line for each import and each request to files beside itself, and does what the query says."""

import json
import os
import pathlib
import resource
import signal
import sys
import time
import urllib.parse

import helper

HERE = pathlib.Path(__file__).parent
VERSION = "1"


def note(name, text):
    # One write in append mode: lines of several processes do not mix.
    with open(HERE / name, "a") as file:
        file.write(f"{text}\n")


def wait_for(name):
    while not (HERE / name).exists():
        time.sleep(0.005)


note("imports", os.getpid())
with open(HERE / "settings.json") as settings:
    SETTING = json.load(settings)
if (HERE / "import.py").exists():
    exec((HERE / "import.py").read_text())


class Deadly(os._Environ):
    """Ends the process, once, when it receives a request with do=die-before-begun, before that request begins."""

    def __setitem__(self, name, value):
        if name == b"QUERY_STRING" and b"do=die-before-begun" in value and not (HERE / "died").exists():
            note("died", os.getpid())
            os.kill(os.getpid(), signal.SIGKILL)
        super().__setitem__(name, value)


b = os.environb
os.environb = Deadly(b._data, b.encodekey, b.decodekey, b.encodevalue, b.decodevalue)
seen = []


def end(how):
    """Ends this process at once, as `how` says: exit:7 or signal:9."""
    kind, number = how.split(":")
    if kind == "exit":
        os._exit(int(number))
    os.kill(os.getpid(), int(number))


class Stream:
    def __init__(self, how):
        self.how = how

    def __iter__(self):
        yield b"begun\n"
        note("streaming", os.getpid())
        wait_for("go")
        if self.how:
            end(self.how)
        yield f"ended {VERSION}\n".encode()

    def close(self):
        note("closed", os.getpid())


def facts():
    import hashlib
    import random
    import secrets
    import ssl
    import tempfile
    import uuid

    salted = hashlib.scrypt(b"secret", salt=os.urandom(16), n=2, r=1, p=1)
    umask = os.umask(0)
    os.umask(umask)
    handlers = {number.name: signal.getsignal(number) for number in signal.Signals}
    found = {
        "pid": os.getpid(),
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "umask": umask,
        "signals": {name: int(of) if isinstance(of, int) else getattr(of, "__name__", "") for name, of in handlers.items()},
        "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "seen": list(seen),
        "random": random.random(),
        "uuid": str(uuid.uuid4()),
        "uuid1": str(uuid.uuid1()),
        "secrets": secrets.token_hex(),
        "openssl": ssl.RAND_bytes(8).hex(),
        "salted": salted.hex(),
        "temporary": next(tempfile._get_candidate_names()),
        "stdin": sys.stdin.read() if os.environ.get("REQUEST_METHOD") == "GET" else "",
        "forks": globals().get("FORKS", 0),
    }
    # Nothing of this may reach the next request.
    seen.append(os.getpid())
    os.environ["LEFT_BEHIND"] = "1"
    os.umask(0o077)
    os.chdir("/")
    tempfile.tempdir = "/left/behind"
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return json.dumps(found, sort_keys=True)


def application(environ, start_response):
    query = dict(urllib.parse.parse_qsl(environ["QUERY_STRING"]))
    do = query.get("do")
    note("runs", query.get("id", "?"))
    if do == "end":
        end(query["how"])
    if do == "crash":
        import faulthandler

        faulthandler._sigsegv()
    if do in ("wait", "stubborn"):
        if do == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note("waiting", query.get("id", "?"))
        wait_for("go")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if do == "stream":
        return Stream(query.get("how"))
    if do == "facts":
        return [facts().encode()]
    if do == "say":
        print("said", query.get("id"), file=environ["wsgi.errors"])
    return [f"{query.get('id')} {VERSION} {helper.VERSION} {SETTING}\n".encode()]
