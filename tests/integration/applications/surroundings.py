"""Reports as JSON all that a process can see of itself and of where it runs."""

import faulthandler
import gc
import io
import json
import locale
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import warnings

CHILD = "umask; pwd; grep -E '^Sig(Pnd|Blk|Ign)' /proc/self/status"
# glibc's own signals, which it takes over in a process that has had a second thread.
GLIBC = 1 << 31 | 1 << 32


def stream(of):
    return {
        "fileno": of.fileno(),
        "mode": of.mode,
        "encoding": of.encoding,
        "errors": of.errors,
        "line_buffering": of.line_buffering,
        "write_through": of.write_through,
        "isatty": of.isatty(),
        "class": type(of).__name__,
    }


def status():
    with open("/proc/self/status") as lines:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in lines)
    kept = ["Name", "Umask", "Uid", "Gid", "Groups", "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "CapEff"]
    fields["SigIgn"] = hex(int(fields["SigIgn"], 16) & ~GLIBC)
    return {name: fields[name] for name in kept + ["NoNewPrivs", "Seccomp", "Cpus_allowed"]}


def child(command):
    return subprocess.run(["/bin/sh", "-c", command], close_fds=False, stdout=subprocess.PIPE).stdout.decode()


def read(path):
    with open(path) as file:
        return file.read()


def limits():
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


def application(environ, start_response):
    facts = {
        "child of a zygote": os.getsid(0) == os.getppid() and os.getpgrp() == os.getpid(),
        "os.environ": dict(os.environ),
        "environ": {name: value for name, value in environ.items() if isinstance(value, str)},
        "environ's others": sorted(name for name, value in environ.items() if not isinstance(value, str)),
        "wsgi": [environ[f"wsgi.{name}"] for name in ("multithread", "multiprocess", "run_once", "version")],
        "variables of C": subprocess.run(["env", "-0"], stdout=subprocess.PIPE).stdout.decode().split("\0"),
        "a child": child(CHILD),
        "descriptors of a child": " ".join(child("ls /proc/self/fd").split()),
        "status": status(),
        "limits": limits(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "oom": read("/proc/self/oom_score_adj"),
        "cmdline": read("/proc/self/cmdline"),
        "signals": {name.name: repr(signal.getsignal(name)).split(" at 0x")[0] for name in signal.Signals},
        "pending": sorted(signal.sigpending()),
        "alarm": signal.getitimer(signal.ITIMER_REAL),
        "cwd": os.getcwd(),
        "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()],
        "argv": [sys.argv, sys.orig_argv],
        "flags": repr(sys.flags),
        "path": sys.path,
        "executable": [sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix],
        "streams": [stream(of) for of in (sys.stdin, sys.stdout, sys.stderr)],
        "stdin": sys.stdin.read(),
        "threads": [thread.name for thread in threading.enumerate()],
        "is main": threading.current_thread() is threading.main_thread(),
        "modules": sorted(sys.modules),
        "faulthandler": faulthandler.is_enabled(),
        "gc": [gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks],
        "recursion": sys.getrecursionlimit(),
        "switching": sys.getswitchinterval(),
        "filters": repr(warnings.filters),
        "locale": locale.setlocale(locale.LC_ALL),
        "temporary": tempfile.gettempdir(),
        "text": io.TextIOWrapper(io.BytesIO()).encoding,
        "hooks": [sys.excepthook is sys.__excepthook__, sys.gettrace(), sys.getprofile()],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts, indent=1, sort_keys=True, default=repr).encode()]
