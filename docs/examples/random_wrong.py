"""Draws random numbers, as it is wrong in a forked process. The tests see it fail."""

import random

# WRONG: the first number that it gives is the same in every request, and so are all that follow.
generator = random.Random()


def application(environ, start_response):
    sources = [generator, random]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(str(source.getrandbits(64)) for source in sources).encode()]
