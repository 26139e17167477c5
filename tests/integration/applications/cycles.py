"""Makes garbage in cycles, which only the collector frees: with each chunk of a long response, or at import."""

import gc
import os

CHUNK = 64 << 10


def garbage():
    """Some objects that refer to each other, with a payload."""
    payload = [bytes(CHUNK), {}, [], (lambda: payload)]
    payload.append(payload)
    return payload[0]


MADE_ON_IMPORT = int(os.environ.get("MADE_ON_IMPORT", "0"))
for _ in range(MADE_ON_IMPORT):
    cycle = []
    cycle.append(cycle)

if "THRESHOLD" in os.environ:
    gc.set_threshold(int(os.environ["THRESHOLD"]), 5, 5)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if environ["PATH_INFO"] == "/state":
        return [repr((gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 1000)).encode()]
    return (garbage() for _ in range(int(environ["QUERY_STRING"] or "0")))
