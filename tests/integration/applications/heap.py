"""Imports something large, in blocks of all sizes, and gives most of it back. Answers whether all of it is right, also in
a child and after more memory was taken, and whether the kernel was asked for huge pages for malloc's heap."""

import os

small = [{(number, key): str(number) for key in range(9)} for number in range(4000)]
large = [bytes([number]) * (number << 10) for number in range(1, 256)]
del small[::2], large[::3]


def is_right():
    more = [bytes([number]) * (number << 11) for number in range(1, 256)]
    return (
        all(len(known) == 9 and set(known.values()) == {str(next(iter(known))[0])} for known in small)
        and all(block.count(block[:1]) == len(block) for block in large + more)
    )


def heap_is_huge():
    with open("/proc/self/smaps") as mappings:
        parts = mappings.read().split("VmFlags:")
    return any("[heap]" in before and " hg" in flags.split("\n")[0] for before, flags in zip(parts, parts[1:]))


def application(environ, start_response):
    child = os.fork()
    if child == 0:
        os._exit(0 if is_right() else 1)
    right = os.waitpid(child, 0)[1] == 0 and is_right()
    kernel = os.path.exists("/sys/kernel/mm/transparent_hugepage")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"right {right}, huge {heap_is_huge()}, kernel {kernel}".encode()]
