"""web.py with its sessions in a shelf that is not closed. It is opened in the request, which waits while another
process has it open."""

import os

import shelves
import web

shelves.wait_for_locked_ones()
made = None


class count:
    def GET(self):
        session.count += 1
        web.header("Content-Type", "text/plain")
        return str(session.count)


def make():
    global session
    site = web.application(("/.*", "count"), {"count": count})
    shelf = shelves.open_when_unlocked(os.path.join(os.environ["DATA"], "sessions"))
    session = web.session.Session(site, web.session.ShelfStore(shelf), {"count": 0})
    return site.wsgifunc()


def application(environ, start_response):
    global made
    made = made or make()
    return made(environ, start_response)
