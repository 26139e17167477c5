"""How many descriptors of the database this process has: what it was forked with, if asked first."""

import os


def open_connections():
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink("/proc/self/fd/" + number))
        except FileNotFoundError:
            pass  # That of the list itself.
    return names.count(os.environ["DATABASE"])
