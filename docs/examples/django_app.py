"""Counts visits with Django, as it is right in a forked process. Run by the tests."""

import os

from connections import open_connections
from django.conf import settings
from django.db import transaction
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
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE counter SET value = value + 1")
        cursor.execute("SELECT value FROM counter")
        (count,) = cursor.fetchone()
    text = "visits %d, connections of the import %d\n" % (count, inherited)
    return HttpResponse(text, content_type="text/plain")


urlpatterns = [path("", visits)]

from django.core.wsgi import get_wsgi_application
from django.db import connection, connections

application = get_wsgi_application()

# Something asks the database at import: a ready() of an installed app, say.
with connection.cursor() as cursor:
    connection.introspection.table_names(cursor)

# Last of all: no request begins with a connection that others have too.
connections.close_all()
