"""Draws random numbers, as it is right in a forked process. Run by the tests."""

import os
import random

# An object of one's own is seeded anew in each process, as Python does with the functions of the module.
generator = random.Random()
os.register_at_fork(after_in_child=generator.seed)

# It asks the system for each number and has no state.
system = random.SystemRandom()


def application(environ, start_response):
    # In the request: seeded by the system, as any new one.
    fresh = random.Random()
    sources = [generator, system, fresh, random]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(str(source.getrandbits(64)) for source in sources).encode()]
