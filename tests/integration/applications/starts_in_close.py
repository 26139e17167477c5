"""`close()` starts a program, which writes its own handling of SIGTERM to the file MARKER."""

import os
import subprocess
import sys

ASK = "import signal; print('SIGTERM is', signal.getsignal(signal.SIGTERM).name)"


class Body:
    def __iter__(self):
        yield b"answered\n"

    def close(self):
        with open(os.environ["MARKER"], "w") as marker:
            subprocess.run([sys.executable, "-c", ASK], stdout=marker, check=True)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body()
