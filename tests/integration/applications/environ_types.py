"""Reports what PEP 3333 requires of the environ: its types, and the wsgi.* values (E15)."""


def application(environ, start_response):
    lines = ["environ is a {}".format(type(environ).__name__)]
    strings = all(type(key) is str for key in environ)
    strings = strings and all(
        type(value) is str for key, value in environ.items() if not key.startswith("wsgi.")
    )
    lines.append("keys and values are str: {}".format(strings))
    for key in ("version", "url_scheme", "run_once", "multithread", "multiprocess", "input_terminated"):
        lines.append("{} = {!r}".format(key, environ["wsgi." + key]))
    environ["own.key"] = object()
    lines.append("callable: {}".format(callable(environ["wsgi.file_wrapper"])))
    errors = environ["wsgi.errors"]
    errors.write("said to wsgi.errors\n")
    errors.writelines(["said twice\n"])
    errors.flush()
    body = "\n".join(lines).encode() + b"\n"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [body]
