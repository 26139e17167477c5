"""A client of one application of one server: it runs programs, makes requests, and writes what it saw."""

import concurrent.futures
import hashlib
import http.client
import os
import subprocess
import urllib.parse

import server as servers

AT_ONCE, AT_ONCE_IN_SHORT, CONCURRENCY = 40, 12, 4
PATIENCE = 280


class Client:
    """A client of one application of one server, and its transcript."""

    def __init__(self, server, name, short):
        self.server, self.name, self.short = server, name, short
        self.count = AT_ONCE_IN_SHORT if short else AT_ONCE
        self.url = f"{server.address}/{name}/"
        self.data = server.data(name)
        self.place = servers.give(os.path.join(server.place, "clients", name))
        self.bin = os.path.join(server.tools["env"], "bin")
        self.lines = []
        self.cookies = {}

    def say(self, *words):
        text = " ".join(str(word) for word in words)
        text = text.replace(self.server.address, "SERVER").replace(self.place, "PLACE")
        self.lines += text.replace(self.data, "DATA").splitlines()

    def run(self, *command, cwd=None, check=True):
        """Runs a program as the unprivileged user, and returns its output. A program of the environment is run with the
        environment's Python, because the environment may have been moved."""
        tool = os.path.join(self.bin, os.path.basename(command[0]))
        if os.path.exists(tool) and os.path.basename(tool) != "python":
            command = [os.path.join(self.bin, "python"), tool, *command[1:]]
        surroundings = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": self.place,
            "TMPDIR": self.server.temporary,
            "LANG": "C.UTF-8",
            "DATA": self.data,
            "WAY": self.server.way,
            "HGPLAIN": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "PIP_CONFIG_FILE": os.devnull,
            "NO_COLOR": "1",
        }
        for who in ("AUTHOR", "COMMITTER"):
            surroundings |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@localhost"}
            surroundings[f"GIT_{who}_DATE"] = "1700000000 +0000"
        done = subprocess.run(
            command,
            cwd=cwd or self.place,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            **servers.user(),
        )
        text = done.stdout.decode(errors="replace")
        if check and done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}:\n{text}")
        return text

    def ask(self, method="GET", path="", body=None, **headers):
        """One request on a connection of its own. Returns status, head and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        if isinstance(body, dict):
            body = urllib.parse.urlencode(body)
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        try:
            connection.request(method, f"/{self.name}/{path}", body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, answer.headers, content

    def at_once(self, request, show=lambda answer: hashlib.sha256(answer[2]).hexdigest()[:12]):
        """Makes 40 requests, 4 at a time, and notes how often it got each answer."""
        with concurrent.futures.ThreadPoolExecutor(CONCURRENCY) as pool:
            answers = list(pool.map(request, range(self.count)))
        seen = sorted(f"{answer[0]} {show(answer)}" for answer in answers)
        self.say(f"{self.count} requests, {CONCURRENCY} at a time")
        for line in sorted(set(seen)):
            self.say(" ", seen.count(line), "x", line)
