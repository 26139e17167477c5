"""What PEP 3333 promises an application, one promise for each PATH_INFO: iterables, write, streams, the environ."""

import io
import os
import sys
import weakref
from wsgiref.util import request_uri

TEXT = [("Content-Type", "text/plain; charset=utf-8")]


def positional(*arguments, **keywords):
    environ, start_response = arguments
    start_response("200 OK", list(TEXT))
    return ["{} positional, {} by keyword\n".format(len(arguments), len(keywords)).encode()]


def environ_is_its_own(environ, start_response):
    environ.clear()
    environ["PATH_INFO"] = object()
    environ[7] = "seven"
    start_response("200 OK", list(TEXT))
    return [b"changed in every way\n"]


def header_list_is_the_servers(environ, start_response):
    headers = list(TEXT)
    write = start_response("200 OK", headers)
    headers.clear()
    return ["write is callable: {}\n".format(callable(write)).encode()]


def url(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [request_uri(environ).encode("latin-1"), b"\n"]


def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("written with an \u00e9, a \u20ac and a \U0001f40d\n")
    stream.writelines(["a lone surrogate \udcff", " in two lines\n", "at once\n"])
    stream.flush()
    lines = ["writes str: {}".format(stream.write("") == 0)]
    try:
        stream.write(b"bytes\n")
        lines.append("takes bytes")
    except TypeError:
        lines.append("refuses bytes")
    start_response("200 OK", list(TEXT))
    return ["\n".join(lines + [""]).encode()]


def input_after_its_end(environ, start_response):
    body = environ["wsgi.input"]
    first = body.read()
    again = [body.read(), body.read(1), body.read(1 << 30), body.readline(), body.readline(5), list(body)]
    again += [body.readlines(), body.readlines(5), body.read(), body.read(0)]
    start_response("200 OK", list(TEXT))
    return ["{!r} {!r}\n".format(first, again).encode()]


def input_is_bytes(environ, start_response):
    body = environ["wsgi.input"]
    pieces = [body.read(2), body.readline(), body.readlines(1)[0], next(iter(body)), body.read()]
    start_response("200 OK", list(TEXT))
    return [repr(pieces).encode(), b"\n"]


def input_unread(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [b"nothing was read\n"]


class Indexed:
    """The iterator protocol from before Python 2.2: no __iter__, and no close()."""

    def __getitem__(self, index):
        return [b"one\n", b"two\n"][index]


def indexed(environ, start_response):
    start_response("200 OK", list(TEXT))
    return Indexed()


def iterators(environ, start_response):
    start_response("200 OK", list(TEXT))
    return iter((b"one\n", b"two\n"))


class Watched:
    """An iterable that notes which of its attributes are asked for."""

    def __init__(self):
        self.chunks = [b"a chunk\n"]

    def __getattribute__(self, name):
        if name not in ("chunks", "close", "__class__"):
            print("asked for", name, file=sys.stderr)
        return object.__getattribute__(self, name)

    def __iter__(self):
        return iter(self.chunks)

    def close(self):
        print("closed it", file=sys.stderr)


def watched(environ, start_response):
    start_response("200 OK", list(TEXT))
    return Watched()


class Itself:
    """An application that is the iterable of its response, and calls start_response in the first iteration."""

    def __init__(self, environ, start_response):
        self.start = start_response

    def __iter__(self):
        self.start("200 OK", list(TEXT))
        yield b"started while iterating\n"


def exact_bytes(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    yield bytes(range(256))
    yield b"\n\r\n\r\r\n\0\x1a"


def several_and_returned(environ, start_response):
    write = start_response("200 OK", list(TEXT))
    write(b"written, ")
    write(b"")
    write(b"twice, ")
    return iter([b"", b"and returned\n"])


def write_beyond_the_length(environ, start_response):
    write = start_response("200 OK", TEXT + [("Content-Length", "4")])
    write(b"four and more")
    return []


def write_then_replace(environ, start_response):
    write = start_response("200 OK", list(TEXT))
    write(b"")
    try:
        raise RuntimeError("before a byte was written")
    except RuntimeError:
        start_response("500 Replaced", list(TEXT), sys.exc_info())
    return [b"the replacement\n"]


def empty_chunks_then_replace(environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b""
    yield b""
    try:
        raise RuntimeError("before a byte was yielded")
    except RuntimeError:
        start_response("500 Replaced", list(TEXT), sys.exc_info())
    yield b"the replacement\n"


def reraised_with_its_traceback(environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b"sent\n"

    def the_frame_where_it_began():
        raise LookupError("of the application")

    try:
        the_frame_where_it_began()
    except LookupError:
        start_response("500 Too Late", list(TEXT), sys.exc_info())


class Noted(Exception):
    pass


def no_reference_to_exc_info(environ, start_response):
    try:
        raise Noted
    except Noted as error:
        alive = weakref.ref(error)
        start_response("200 OK", list(TEXT), sys.exc_info())
    return ["the exception is {}\n".format("gone" if alive() is None else "still held").encode()]


def longer_than_declared(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "6")])
    chunks = 0
    try:
        while chunks < 100_000:
            chunks += 1
            yield b"four"
    finally:
        print("closed after {} chunks".format(chunks), file=sys.stderr)


class ClosedBadly:
    def __iter__(self):
        return iter([b"sent\n"])

    def close(self):
        raise RuntimeError("close() itself failed")


def closed_badly(environ, start_response):
    start_response("200 OK", list(TEXT))
    return ClosedBadly()


class FileLike:
    """Has read(), but no descriptor that the kernel could use."""

    def __init__(self, content):
        self.content = io.BytesIO(content)

    def read(self, size=-1):
        return self.content.read(size)


class Closable(FileLike):
    def close(self):
        print("the file-like object was closed", file=sys.stderr)


def wraps_anything(environ, start_response):
    start_response("200 OK", list(TEXT))
    return environ["wsgi.file_wrapper"](FileLike(b"read in blocks\n"), 4)


def wrapper_closes(environ, start_response):
    start_response("200 OK", list(TEXT))
    return environ["wsgi.file_wrapper"](Closable(b"and closed\n"))


def wrapper_not_returned(environ, start_response):
    file = open(__file__, "rb")
    wrapper = environ["wsgi.file_wrapper"](file, 100)
    start_response("200 OK", list(TEXT))
    position = file.tell()
    first = next(iter(wrapper))
    wrapper.close()
    line = "{} bytes were taken, then {}, and closed: {}\n".format(position, len(first), file.closed)
    return [line.encode()]


def wrapper_within_the_length(environ, start_response):
    file = open(__file__, "rb")
    file.seek(3)
    start_response("200 OK", TEXT + [("Content-Length", "9")])
    return environ["wsgi.file_wrapper"](file)


def all_latin_1(environ, start_response):
    letters = "".join(map(chr, range(0x80, 0x100)))
    start_response("200 OK", TEXT + [("X-All", letters)])
    return [b"ok\n"]


def long_header(environ, start_response):
    length = int(environ["QUERY_STRING"])
    # The whole line, with ": " and the line end.
    start_response("200 OK", TEXT + [("X-Long", "a" * (length - len("X-Long: \r\n")))])
    return [b"ok\n"]


def twice(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html"), ("X-A", "1"), ("content-type", "text/plain")])
    return [b"ok\n"]


def method(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", TEXT + [("X-Method", environ["REQUEST_METHOD"])])
    return ["{} {!r}\n".format(environ["REQUEST_METHOD"], body).encode()]


def descriptors(environ, start_response):
    """Which descriptors a child inherits that lead to the bridge's own pipes and sockets: the response, or the body."""
    own, inherited = [], []
    for name in os.listdir("/proc/self/fd"):
        try:
            kept = os.get_inheritable(int(name))
            target = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue  # the descriptor of the listing itself
        if target.startswith(("pipe:", "socket:")):
            (inherited if kept else own).append((name, target))
    shared = sorted(name for name, target in inherited if target in dict(map(reversed, own)))
    start_response("200 OK", list(TEXT))
    return ["own: {}, shared: {}\n".format(bool(own), " ".join(shared)).encode()]


OWN = {function.__name__: function for function in list(globals().values()) if callable(function)}
OWN["itself"] = Itself


def application(environ, start_response, /):
    return OWN[environ["PATH_INFO"].split("/")[1]](environ, start_response)
