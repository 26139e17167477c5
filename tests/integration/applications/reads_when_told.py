"""Makes the file READY, then reads the body, which has not arrived yet, and answers with it."""


def application(environ, start_response):
    with open(environ["READY"], "w"):
        pass
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
