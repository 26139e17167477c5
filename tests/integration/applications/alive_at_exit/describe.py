"""Prints a line for each DIRECTORY: the names in it, and their content as a reader of the format returns it."""

import bz2
import dbm
import gzip
import lzma
import os
import shelve
import sqlite3
import sys
import zipfile


def rows(path):
    connection = sqlite3.connect(path)
    tables = [name for (name,) in connection.execute("select name from sqlite_master")]
    return [(name, connection.execute(f"select * from {name}").fetchall()) for name in tables]


def members(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def records(path):
    with dbm.open(path, "r") as database:
        return [(key, database[key]) for key in database.keys()]


def values(path):
    with shelve.open(path, "r") as shelf:
        return dict(shelf)


READERS = {
    ".gz": lambda path: gzip.open(path).read(),
    ".bz2": lambda path: bz2.open(path).read(),
    ".xz": lambda path: lzma.open(path).read(),
    ".zip": members,
    ".sqlite": rows,
}


def content(path):
    base, suffix = os.path.splitext(path)
    if os.path.basename(base) in ("shelf", "gnu", "ndbm", "dumb"):
        name = path if os.path.basename(path) == "gnu" or suffix == "" else base
        return (values if os.path.basename(base) == "shelf" else records)(name)
    if suffix in READERS:
        return READERS[suffix](path)
    with open(path, "rb") as file:
        return file.read()


def described(directory):
    found = {}
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        try:
            found[name] = "directory" if os.path.isdir(path) else content(path)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}".replace(directory, "")
    return found


for directory in sys.argv[1:]:
    print(described(directory))
