"""A shelf of GNU dbm belongs to one process at a time; another one's attempt to open it is an error."""

import errno
import shelve
import time

PATIENCE = 60
open_shelf = shelve.open


def open_when_unlocked(*arguments, **options):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return open_shelf(*arguments, **options)
        except OSError as error:
            if error.errno != errno.EAGAIN or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def wait_for_locked_ones():
    shelve.open = open_when_unlocked
