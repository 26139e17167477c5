"""Breaks one rule of PEP 3333 for each PATH_INFO, mostly of start_response, and answers with what the call raises."""

import sys

TEXT = [("Content-Type", "text/plain; charset=utf-8")]

CALLS = {
    "status-int": (200, TEXT),
    "status-bytes": (b"200 OK", TEXT),
    "status-words": ("OK", TEXT),
    "status-wide": ("200 \u20ac", TEXT),
    "status-line-end": ("200 OK\r\n", TEXT),
    "headers-none": ("200 OK", None),
    "headers-tuple": ("200 OK", tuple(TEXT)),
    "headers-dict": ("200 OK", dict(TEXT)),
    "headers-generator": ("200 OK", (pair for pair in TEXT)),
    "header-list": ("200 OK", [["X-A", "1"]]),
    "header-string": ("200 OK", ["X-A: 1"]),
    "header-triple": ("200 OK", [("X-A", "1", "2")]),
    "name-bytes": ("200 OK", [(b"X-A", "1")]),
    "name-colon": ("200 OK", [("X-A:", "1")]),
    "name-wide": ("200 OK", [("X-\u20ac", "1")]),
    "value-bytes": ("200 OK", [("X-A", b"1")]),
    "value-int": ("200 OK", [("Content-Length", 3)]),
    "value-none": ("200 OK", [("X-A", None)]),
    "value-wide": ("200 OK", [("X-A", "10 \u20ac")]),
    "one-argument": ("200 OK",),
    "four-arguments": ("200 OK", TEXT, None, None),
}

# Headers that concern one connection: only the server may send them.
HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailers"]
HOP_BY_HOP += ["Transfer-Encoding", "Upgrade", "upgrade"]


def raised(call, *arguments):
    """What a call raises, as text, and exc_info: only with exc_info may start_response be called again."""
    try:
        call(*arguments)
    except Exception as error:
        return "{}: {}".format(type(error).__name__, error), sys.exc_info()
    return "nothing was raised", None


def one(call):
    def application(start_response):
        text, exc_info = raised(start_response, *CALLS[call])
        start_response("200 OK", list(TEXT), exc_info)
        return text

    return application


def keywords(start_response):
    text, exc_info = raised(lambda: start_response(status="200 OK", response_headers=TEXT))
    start_response("200 OK", list(TEXT), exc_info)
    return text


def after_an_error(start_response):
    """A second call without exc_info, after a first call that was refused."""
    raised(start_response, "OK", TEXT)
    text, exc_info = raised(start_response, "200 OK", list(TEXT))
    start_response("200 OK", list(TEXT), exc_info)
    return text


def refused_of(names_and_values, start_response):
    """Those of these headers that are refused, in their order."""
    refused = []
    exc_info = None
    for shown, header in names_and_values:
        try:
            start_response("200 OK", [header], exc_info or (ValueError, ValueError(), None))
        except Exception:
            exc_info = sys.exc_info()
            refused.append(shown)
    start_response("200 OK", list(TEXT), exc_info or (ValueError, ValueError(), None))
    return " ".join(refused)


def value_characters(start_response):
    values = (("{:02x}".format(code), ("X-A", "a{}b".format(chr(code)))) for code in range(256))
    return refused_of(values, start_response)


def name_characters(start_response):
    names = (("{:02x}".format(code), ("X{}A".format(chr(code)), "1")) for code in range(256))
    return refused_of(names, start_response)


def hop_by_hop(start_response):
    return refused_of(((name, (name, "x")) for name in HOP_BY_HOP), start_response)


def write_text(start_response):
    write = start_response("200 OK", list(TEXT))
    text, _ = raised(write, "text")
    return text


OTHERS = [keywords, after_an_error, value_characters, name_characters, hop_by_hop, write_text]
MISTAKES = {call: one(call) for call in CALLS}
MISTAKES.update((other.__name__.replace("_", "-"), other) for other in OTHERS)


def application(environ, start_response):
    return [MISTAKES[environ["PATH_INFO"].strip("/")](start_response).encode("utf-8", "backslashreplace") + b"\n"]
