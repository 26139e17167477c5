"""Counts visits with SQLAlchemy, as it is right in a forked process. Run by the tests."""

import os

from connections import open_connections
from sqlalchemy import create_engine, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool


class Base(DeclarativeBase):
    pass


class Counter(Base):
    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]


# Made at import, and connected in each request: a pool has nothing to keep in
# a process that answers one.
engine = create_engine("sqlite:///" + os.environ["DATABASE"], poolclass=NullPool)


def application(environ, start_response):
    inherited = open_connections()
    with Session(engine) as session, session.begin():
        session.execute(update(Counter).values(value=Counter.value + 1))
        visits = session.get(Counter, 1).value
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"visits %d, connections of the import %d\n" % (visits, inherited)]
