"""Says something on both streams while it is imported."""

import sys

print("printed at import")
print("complained at import", file=sys.stderr)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ready\n"]
