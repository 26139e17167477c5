"""Has a directory for temporary files, as it is wrong in a forked process. The tests see it fail."""

import os
import tempfile

# WRONG: one directory for all requests, with what each has left, until the zygote ends.
directory = tempfile.TemporaryDirectory()


def application(environ, start_response):
    with tempfile.NamedTemporaryFile(dir=directory.name, delete=False) as file:
        file.write(b"of this request")
    found = len(os.listdir(directory.name))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d found\n" % found]
