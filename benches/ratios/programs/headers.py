"""Answers BENCH_HEADERS headers and the number of request headers."""


def application(environ, start_response):
    headers = [("X-Bench-%d" % number, "the value of a header") for number in range(int(environ["BENCH_HEADERS"]))]
    start_response("200 OK", [("Content-Type", "text/plain")] + headers)
    return [b"%d request headers\n" % sum(name.startswith("HTTP_X_BENCH") for name in environ)]
