"""web.py with sessions in a shelf that stays open: it counts the visits of each visitor."""

import os
import shelve

import web


class count:
    def GET(self):
        session.count += 1
        web.header("Content-Type", "text/plain")
        return str(session.count)


made = None


def make():
    global session
    site = web.application(("/.*", "count"), {"count": count})
    shelf = shelve.open(os.path.join(os.environ["PLACE"], "sessions"))
    session = web.session.Session(site, web.session.ShelfStore(shelf), {"count": 0})
    return site.wsgifunc()


if os.environ["MADE"] == "import":
    made = make()


def application(environ, start_response):
    global made
    if made is None:
        made = make()
    return made(environ, start_response)
