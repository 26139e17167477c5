"""Large bodies: BENCH_FILE by `wsgi.file_wrapper`, BENCH_CHUNKS pieces of 16 KiB, and an upload in 64 KiB pieces."""

import os

BLOCK = 64 * 1024


def download(environ, start_response):
    file = open(environ["BENCH_FILE"], "rb")
    size = os.fstat(file.fileno()).st_size
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
    return environ["wsgi.file_wrapper"](file, BLOCK)


def chunks(environ, start_response):
    count = int(environ["BENCH_CHUNKS"])
    piece = bytes(range(256)) * 64
    size = count * len(piece)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
    return (piece for _ in range(count))


def upload(environ, start_response):
    body = environ["wsgi.input"]
    total = 0
    while piece := body.read(BLOCK):
        total += len(piece)
    answer = b"%d bytes came\n" % total
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
