"""Changes its process while it is imported, and answers what remains of the changes."""

import os

os.environ["SET_ON_IMPORT"] = "set"
os.environ["PREPENDED"] = "before:" + os.environ["PREPENDED"]
del os.environ["REMOVED"]
os.chdir("/usr")
os.umask(0o027)


def application(environ, start_response):
    facts = [os.environ.get(name) for name in ("SET_ON_IMPORT", "PREPENDED", "REMOVED", "REQUEST_METHOD")]
    # The WSGI environ keeps the server's values.
    facts += [environ.get(name) for name in ("SET_ON_IMPORT", "PREPENDED", "REMOVED")]
    facts += [os.getcwd(), oct(os.umask(0))]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(map(str, facts)).encode()]
