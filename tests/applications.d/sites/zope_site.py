"""Zope with a FileStorage, which one process at a time can have open: the others wait for a lock of this site."""

import fcntl
import os

from Zope2.Startup.run import make_wsgi_app
from ZPublisher.httpexceptions import HTTPExceptionHandler

DATA = os.environ["DATA"]
door = open(os.path.join(DATA, "door"), "w")
fcntl.flock(door, fcntl.LOCK_EX)
zope = HTTPExceptionHandler(make_wsgi_app({}, os.path.join(DATA, "etc/zope.conf")))


def application(environ, start_response):
    return zope(environ, start_response)
