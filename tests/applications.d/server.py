"""An Apache with mod_cgid on the loopback interface, which serves the applications of sites/ in one of three ways. It runs
as an unprivileged user in its own directory."""

import os
import pwd
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = next(
    (
        directory
        for directory in (
            "/usr/lib/apache2/modules",
            "/usr/lib64/httpd/modules",
            "/usr/lib/httpd/modules",
        )
        if os.path.isfile(os.path.join(directory, "mod_cgid.so"))
    ),
    None,
)

# The columns of the page, in this order.
WAYS = ("CGIHandler", "cold", "warm")

CGIHANDLER = """#!{python}
import os, sys
os.environ.update(DATA={data!r}, TMPDIR={temporary!r}, HOME={data!r}, WAY={way!r})
sys.path.insert(0, {sites!r})
from wsgiref.handlers import CGIHandler
from {module} import application
CGIHandler().run(application)
"""

CGI2WSGI = """#!/bin/sh
export DATA={data} TMPDIR={temporary} HOME={data} WAY={way}
exec {cgi2wsgi} {warm} --venv {env} {sites}/{module}.py
"""

CONFIGURATION = """
ServerRoot "{run}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{run}/httpd.pid"
DefaultRuntimeDir "{run}"
ErrorLog "{run}/error.log"
LogLevel info
LoadModule mpm_event_module "{modules}/mod_mpm_event.so"
LoadModule cgid_module "{modules}/mod_cgid.so"
<IfModule !unixd_module>
    LoadModule unixd_module "{modules}/mod_unixd.so"
</IfModule>
LoadModule authz_core_module "{modules}/mod_authz_core.so"
LoadModule alias_module "{modules}/mod_alias.so"
LoadModule env_module "{modules}/mod_env.so"
StartServers 1
ThreadsPerChild 8
MinSpareThreads 4
MaxSpareThreads 16
MaxRequestWorkers 16
ServerLimit 2
ScriptSock "{run}/cgid.sock"
Timeout 120
KeepAlive {keep_alive}
AllowEncodedSlashes NoDecode
DocumentRoot "{run}"
<Directory />
    AllowOverride None
    Require all denied
</Directory>
"""

APPLICATION = """
ScriptAlias "/{name}" "{script}"
<Location "/{name}">
    Require all granted
    CGIPassAuth On
    SetEnv ap_trust_cgilike_cl 1
</Location>
"""


def user():
    """The user that servers and clients run as, as options of subprocess."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def give(path):
    os.makedirs(path, exist_ok=True)
    if who := user():
        os.chown(path, who["user"], who["group"])
    return path


class Server:
    """One way to serve all applications. `names` maps each one's name, in URLs and for its data, to its module."""

    def __init__(self, way, names, place, tools):
        self.way, self.place, self.tools = way, give(os.path.join(place, way)), tools
        self.sites = os.path.join(place, "sites")
        self.run = give(os.path.join(self.place, "apache"))
        self.temporary = give(os.path.join(self.place, "tmp"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.write(names)
        self.process = None

    def data(self, name):
        return os.path.join(self.place, "data", name)

    def write(self, names):
        give(os.path.join(self.place, "data"))
        scripts = os.path.join(self.place, "scripts")
        os.makedirs(scripts, exist_ok=True)
        configuration = CONFIGURATION.format(
            run=self.run, port=self.port, modules=MODULES, keep_alive="On"
        )
        for name, module in sorted(names.items(), reverse=True):
            script = os.path.join(scripts, name)
            quote = str if self.way == "CGIHandler" else shlex.quote
            words = {
                "python": f"{self.tools['env']}/bin/python",
                "env": self.tools["env"],
                "cgi2wsgi": self.tools["cgi2wsgi"],
                "data": give(self.data(name)),
                "temporary": self.temporary,
                "sites": self.sites,
                "module": module,
                "way": self.way,
            }
            words = {key: quote(value) for key, value in words.items()}
            template = CGIHANDLER if self.way == "CGIHandler" else CGI2WSGI
            with open(script, "w") as file:
                file.write(template.format(**words, warm="--warm" * (self.way == "warm")))
            os.chmod(script, 0o755)
            configuration += APPLICATION.format(name=name, script=script)
        with open(os.path.join(self.run, "httpd.conf"), "w") as file:
            file.write(configuration)

    def __enter__(self):
        command = ["/usr/sbin/apache2", "-f", f"{self.run}/httpd.conf", "-D", "FOREGROUND"]
        self.process = subprocess.Popen(
            command,
            cwd=self.run,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **user(),
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return self
            except urllib.error.HTTPError:
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise RuntimeError(f"Apache did not start:\n{self.log()}")
            # Between two attempts to connect.
            time.sleep(0.05)

    def __exit__(self, *_):
        if self.way == "warm":
            stop = [self.tools["cgi2wsgi"], "warm", "stop", "--all"]
            surroundings = {"PATH": "/usr/bin:/bin", "TMPDIR": self.temporary}
            subprocess.run(stop, env=surroundings, stdout=subprocess.DEVNULL, **user())
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def log(self):
        try:
            with open(os.path.join(self.run, "error.log"), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""
