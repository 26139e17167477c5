"""CherryPy with sessions in files, which are locked by the request that uses them."""

import os

import cherrypy

sessions = os.path.join(os.environ["DATA"], "sessions")
os.makedirs(sessions, exist_ok=True)


class Counter:
    @cherrypy.expose
    def index(self):
        cherrypy.session["count"] = cherrypy.session.get("count", 0) + 1
        return str(cherrypy.session["count"])


cherrypy.config.update({"environment": "embedded"})
application = cherrypy.Application(
    Counter(),
    "/cherrypy",
    {
        "/": {
            "tools.sessions.on": True,
            "tools.sessions.storage_class": cherrypy.lib.sessions.FileSession,
            "tools.sessions.storage_path": sessions,
        }
    },
)
