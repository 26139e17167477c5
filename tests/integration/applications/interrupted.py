"""Gets a signal every millisecond while it reads an upload and sends it back eight times."""

import hashlib
import signal
import time

ticks = 0


def tick(number, frame):
    global ticks
    ticks += 1


def application(environ, start_response):
    signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    while ticks < 3:
        time.sleep(0.01)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Sum", hashlib.sha256(body).hexdigest())])
    for _ in range(8):
        yield body
    signal.setitimer(signal.ITIMER_REAL, 0)
