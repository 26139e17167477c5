"""Counts visits with Django, as it is wrong in a forked process: it is found, and served cold."""

import os

from connections import open_connections
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of an example",
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "CONN_MAX_AGE": None,
        }
    },
)


def visits(request):
    inherited = open_connections()
    with connection.cursor() as cursor:
        count = COUNT + 1
        cursor.execute("UPDATE counter SET value = %s", [count])
    text = "visits %d, connections of the import %d\n" % (count, inherited)
    return HttpResponse(text, content_type="text/plain")


urlpatterns = [path("", visits)]

from django.core.wsgi import get_wsgi_application
from django.db import connection

application = get_wsgi_application()

# WRONG: the connection stays open, and every request would be forked with it.
with connection.cursor() as cursor:
    cursor.execute("SELECT value FROM counter")
    (COUNT,) = cursor.fetchone()
