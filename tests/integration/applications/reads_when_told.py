"""Makes the file READY, then reads the body and answers it: the reader waits for bytes that are not there yet."""


def application(environ, start_response):
    with open(environ["READY"], "w"):
        pass
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
