"""Answers by how many KiB a process's own memory grows while a request makes objects of 0.8 MiB. FILLER says how many
objects the import makes."""

import os

KEPT = [(number, number) for number in range(int(os.environ["FILLER"]))]


def own():
    with open("/proc/self/smaps_rollup") as memory:
        return next(int(line.split()[1]) for line in memory if line.startswith("Private_Dirty:"))


def application(environ, start_response):
    before = own()
    mine = [(number, number) for number in range(1000, 9000)]
    after = own()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(after - before if mine else None).encode()]
