"""Has a directory for temporary files, as it is wrong in a forked process. The tests see it fail."""

import os
import tempfile

# WRONG: the first request that ends takes it away from all that follow.
directory = tempfile.TemporaryDirectory()


def application(environ, start_response):
    with open(os.path.join(directory.name, "upload"), "wb") as file:
        file.write(b"of this request")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"written\n"]
