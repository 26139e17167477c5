"""Has a directory for temporary files, as it is right in a forked process. Run by the tests."""

import os
import tempfile


def application(environ, start_response):
    # In the request: it is this process' own, and its end takes it away.
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "upload"), "wb") as file:
            file.write(b"of this request")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"written\n"]
