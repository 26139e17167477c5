"""Counts visits with SQLAlchemy, as it is wrong in a forked process: it is found, and served cold."""

import os

from connections import open_connections
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Counter(Base):
    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]


engine = create_engine("sqlite:///" + os.environ["DATABASE"])
# WRONG: every request would start with what was in the database at the import,
# and with the connection of all others.
session = Session(engine)
counter = session.get(Counter, 1)


def application(environ, start_response):
    inherited = open_connections()
    counter.value += 1
    visits = counter.value
    session.commit()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"visits %d, connections of the import %d\n" % (visits, inherited)]
