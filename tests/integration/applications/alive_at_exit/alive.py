"""An application that leaves something alive: KIND names a function below, and WHEN says when it is called.

The title of a row of docs/alive-at-exit.md is the function's docstring. What the function makes must be visible in
OUT, or on standard error, when the process has ended.
"""

import io
import os
import sys

OUT = os.environ["OUT"]


def out(name):
    return os.path.join(OUT, name)


def note(text, open=os.open, write=os.write, path=out("note"), flags=os.O_WRONLY | os.O_APPEND | os.O_CREAT):
    """Uses no module, because modules may be gone when a finalizer runs."""
    write(open(path, flags, 0o644), text.encode() + b"\n")


class Finalized:
    def __init__(self, name="finalized"):
        self.name = name

    def __del__(self, note=note):
        note(self.name)


def waits(note=note):
    try:
        yield
    finally:
        note("finally")


# Kinds: files, and what refers to them.


def text_file():
    """a text file, a module's global"""
    global kept
    kept = open(out("a.txt"), "a")
    kept.write("text\n")


def binary_file():
    """a binary file, a module's global"""
    global kept
    kept = open(out("a.bin"), "wb")
    kept.write(b"bytes")


def updated_file():
    """a file that is read and written"""
    global kept
    with open(out("a.bin"), "wb") as file:
        file.write(b"0123456789")
    kept = open(out("a.bin"), "r+b")
    kept.read(2)
    kept.write(b"xy")


def two_files():
    """two files"""
    global kept
    kept = [open(out(name), "w") for name in ("a.txt", "b.txt")]
    for file in kept:
        file.write("text")


def csv_writer():
    """a csv writer over a file"""
    global kept
    import csv

    kept = csv.writer(open(out("a.csv"), "w", newline=""))
    kept.writerow(["a", 1])


def of_application():
    """a file, an attribute of the application"""
    application.file = open(out("a.txt"), "w")
    application.file.write("text")


def of_closure():
    """a file, in a closure"""
    global kept
    file = open(out("a.txt"), "w")

    def kept():
        file.write("text")

    kept()


def of_thread_local():
    """a file, in a thread local"""
    global kept
    import threading

    kept = threading.local()
    kept.file = open(out("a.txt"), "w")
    kept.file.write("text")


def of_slot():
    """a file, in a slot of an object"""
    global kept

    class Slotted:
        __slots__ = ["file"]

    kept = Slotted()
    kept.file = open(out("a.txt"), "w")
    kept.file.write("text")


def of_context_variable():
    """a file, in a context variable"""
    global kept
    import contextvars

    kept = contextvars.ContextVar("kept")
    kept.set(open(out("a.txt"), "w"))
    kept.get().write("text")


def of_cache():
    """a file, in functools.lru_cache"""
    global kept
    import functools

    @functools.lru_cache
    def kept(name):
        file = open(out(name), "w")
        file.write("text")
        return file

    kept("a.txt")


def raw_file():
    """a buffer over a raw file of the application's own"""
    global kept

    class Raw(io.RawIOBase):
        def writable(self):
            return True

        def write(self, piece, note=note):
            note(bytes(piece).decode())
            return len(piece)

    kept = io.BufferedWriter(Raw())
    kept.write(b"through")


# Formats that are incomplete until they are closed.


def gzip_file():
    """gzip"""
    global kept
    import gzip

    kept = gzip.open(out("a.gz"), "wb")
    kept.write(b"x" * 100)


def gzip_text():
    """gzip, as text"""
    global kept
    import gzip

    kept = gzip.open(out("a.gz"), "wt")
    kept.write("x" * 100)


def bz2_file():
    """bz2"""
    global kept
    import bz2

    kept = bz2.open(out("a.bz2"), "wb")
    kept.write(b"x" * 100)


def lzma_file():
    """lzma"""
    global kept
    import lzma

    kept = lzma.open(out("a.xz"), "wb")
    kept.write(b"x" * 100)


def zip_file():
    """zipfile"""
    global kept
    import zipfile

    kept = zipfile.ZipFile(out("a.zip"), "w")
    kept.writestr("name", "content")


def shelve_default():
    """shelve"""
    global kept
    import shelve

    kept = shelve.open(out("shelf"))
    kept["a"] = [1]


def shelve_written_back():
    """shelve with writeback"""
    global kept
    import dbm.dumb
    import shelve

    kept = shelve.Shelf(dbm.dumb.open(out("shelf"), "c"), writeback=True)
    kept["a"] = [1]
    kept["a"].append(2)


def dbm_dumb():
    """dbm.dumb"""
    global kept
    import dbm.dumb

    kept = dbm.dumb.open(out("dumb"), "c")
    kept[b"a"] = b"1"


def dbm_gnu():
    """dbm.gnu"""
    global kept
    import dbm.gnu

    kept = dbm.gnu.open(out("gnu"), "cf")
    kept[b"a"] = b"1"


def dbm_ndbm():
    """dbm.ndbm"""
    global kept
    import dbm.ndbm

    kept = dbm.ndbm.open(out("ndbm"), "c")
    kept[b"a"] = b"1"


def sqlite_transaction():
    """sqlite3, an open transaction"""
    global kept
    import sqlite3

    kept = sqlite3.connect(out("a.sqlite"))
    kept.execute("create table t (a)")
    kept.commit()
    kept.execute("insert into t values (1)")


def sqlite_wal():
    """sqlite3 with WAL"""
    global kept
    import sqlite3

    kept = sqlite3.connect(out("a.sqlite"))
    kept.execute("pragma journal_mode=wal")
    kept.execute("create table t (a)")
    kept.execute("insert into t values (1)")
    kept.commit()


def sqlite_cursor():
    """sqlite3, a cursor alone"""
    global kept
    import sqlite3

    kept = sqlite3.connect(out("a.sqlite")).cursor()
    kept.execute("pragma journal_mode=wal")
    kept.execute("create table t (a)")


def mapped_memory():
    """mmap"""
    global kept
    import mmap

    with open(out("a.bin"), "wb") as file:
        file.write(b"0" * 4096)
    with open(out("a.bin"), "r+b") as file:
        kept = mmap.mmap(file.fileno(), 4096)
    kept[:4] = b"mmap"


# logging.


def logging_file():
    """a logging.FileHandler"""
    import logging

    logging.getLogger().addHandler(logging.FileHandler(out("log")))
    logging.warning("text")


def logging_memory():
    """a logging.MemoryHandler over a FileHandler"""
    import logging.handlers

    target = logging.FileHandler(out("log"))
    logging.getLogger().addHandler(logging.handlers.MemoryHandler(100, target=target))
    logging.warning("text")


def logging_stream():
    """a logging.StreamHandler over a file"""
    import logging

    file = open(out("log"), "w", buffering=1 << 16)
    file.write("head\n")
    logging.getLogger().addHandler(logging.StreamHandler(file))


# Processes.

CAT = ["sh", "-c", 'cat > "$OUT/cat"; mv "$OUT/cat" "$OUT/done"']


def subprocess_pipe():
    """a subprocess' standard input"""
    global kept
    import subprocess

    # A reader that waits for the end of standard error waits for this process too.
    kept = subprocess.Popen(CAT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    kept.stdin.write(b"to the child")


def process_pool():
    """a multiprocessing.Pool"""
    global kept
    import multiprocessing

    kept = multiprocessing.get_context("fork").Pool(1)
    note(str(kept.map(abs, [-1])))


def thread_pool():
    """a ThreadPoolExecutor"""
    global kept
    import concurrent.futures

    kept = concurrent.futures.ThreadPoolExecutor(1)
    kept.submit(note, "done")


# tempfile.


def temporary_named():
    """tempfile.NamedTemporaryFile"""
    global kept
    import tempfile

    kept = tempfile.NamedTemporaryFile(dir=OUT)
    kept.write(b"x")


def temporary_stays():
    """tempfile.NamedTemporaryFile that is not deleted"""
    global kept
    import tempfile

    kept = tempfile.NamedTemporaryFile(dir=OUT, delete=False)
    os.rename(kept.name, out("stays"))
    kept.write(b"x")


def temporary_directory():
    """tempfile.TemporaryDirectory"""
    global kept
    import tempfile

    kept = tempfile.TemporaryDirectory(dir=OUT)


def temporary_spooled():
    """tempfile.SpooledTemporaryFile"""
    global kept
    import tempfile

    kept = tempfile.SpooledTemporaryFile(10, dir=OUT)
    kept.write(b"x" * 100)


def temporary_made():
    """tempfile.mkstemp"""
    global kept
    import tempfile

    descriptor, name = tempfile.mkstemp(dir=OUT)
    os.rename(name, out("made"))
    kept = os.fdopen(descriptor, "w")
    kept.write("x")


# Finalizers.


def finalizer():
    """`__del__`"""
    global kept
    kept = Finalized()


def finalizer_in_cycle():
    """`__del__` of an object in a cycle"""
    cycle = Finalized("cycle")
    cycle.itself = cycle


def finalizer_untracked():
    """`__del__` of an object that the collector does not know"""
    global kept

    class Untracked(str):
        __slots__ = ()

        def __del__(self, note=note):
            note("untracked")

    kept = {"a": ((Untracked("x"), 1), 2)}


def finalizer_of_metaclass():
    """`__del__` of a metaclass"""
    global kept

    class Meta(type):
        def __del__(self, note=note):
            note("class")

    kept = Meta("Class", (), {})


def finalizer_raises():
    """a finalizer that raises"""
    global kept

    class Raises:
        def __del__(self):
            raise ValueError("in a finalizer")

    kept = Raises()


def finalizer_writes():
    """a finalizer that writes to a file"""
    global kept

    class Writes:
        def __init__(self):
            self.file = open(out("a.txt"), "w")

        def __del__(self):
            self.file.write("end")

    kept = Writes()


def generator():
    """a generator that waits in a `try`"""
    global kept
    kept = waits()
    next(kept)


def generator_in_context():
    """a context manager that was entered"""
    global kept
    import contextlib

    kept = contextlib.contextmanager(waits)()
    kept.__enter__()


def coroutine():
    """a coroutine that was never awaited"""
    global kept

    async def never():
        pass

    kept = never()


def weakref_finalize():
    """weakref.finalize"""
    global kept
    import weakref

    class Watched:
        pass

    kept = Watched()
    weakref.finalize(kept, note, "finalize")


def weakref_callback():
    """a weak reference's callback"""
    global kept, zz_reference
    import weakref

    class Watched:
        pass

    kept = Watched()
    zz_reference = weakref.ref(kept, lambda _, note=note: note("callback"))


def atexit_handler():
    """an atexit handler"""
    import atexit

    atexit.register(note, "atexit")


def atexit_leaves():
    """a file that an atexit handler leaves open"""
    import atexit

    atexit.register(text_file)


def thread_leaves():
    """a file that a thread leaves open"""
    import threading

    threading.Thread(target=text_file).start()


def event_loop():
    """an asyncio event loop with a task that waits"""
    global kept, task
    import asyncio

    async def sleeps():
        try:
            await asyncio.sleep(60)
        finally:
            note("finally")

    kept = asyncio.new_event_loop()
    task = kept.create_task(sleeps())
    kept.call_soon(kept.stop)
    kept.run_forever()


# C.


def extension_object():
    """an object of a C extension"""
    global kept
    import noted

    kept = noted.noted(out("noted"))


def extension_object_untracked():
    """an object of a C extension, in a dictionary of a dictionary"""
    global kept
    import noted

    kept = {1: {2: noted.noted(out("noted"))}}


# lxml, of whose types only one writes something at its end.


def lxml_file():
    """an XML file that lxml has begun"""
    global kept
    from lxml import etree

    file = etree.xmlfile(out("a.xml"), encoding="utf-8")
    writer = file.__enter__()
    writer.write(etree.Element("written"))
    kept = file, writer


def lxml_element():
    """`__del__` of a class of elements of lxml's"""
    global kept
    from lxml import etree

    class Element(etree.ElementBase):
        def __del__(self, note=note):
            note("element")

    parser = etree.XMLParser()
    parser.set_element_class_lookup(etree.ElementDefaultClassLookup(element=Element))
    kept = etree.XML("<element/>", parser)


def lxml_target():
    """`__del__` of an object that the collector does not know, in a parser of lxml's"""
    global kept
    from lxml import etree

    class Target:
        __slots__ = ()

        def start(self, tag, attributes):
            pass

        def close(self):
            pass

        def __del__(self, note=note):
            note("target")

    kept = etree.XMLParser(target=Target())
    kept.feed("<begun>")


# numpy, whose arrays do not show the collector what they hold. The module is imported with this one.


class Unknown:
    """The collector does not know its objects."""

    __slots__ = ()

    def __del__(self, note=note):
        note("unknown")


def numpy_array():
    """Python's own end may pass over what an array holds: no row."""
    global kept
    kept = numpy.array([Unknown()], dtype=object)


def nested_tuples():
    """`__del__` of an object that the collector does not know, in tuples and a dictionary that it does not track"""
    global kept
    kept = (((Unknown(),),), {"key": (Unknown(),)})
    import gc

    # Tuples and dictionaries that lead to nothing that is tracked are tracked no longer.
    gc.collect()


# Settings.


def warning():
    """a file that is open for reading, where ResourceWarning is shown"""
    global kept
    import warnings

    warnings.simplefilter("always")
    kept = open(__file__)


def collector_disabled():
    """`__del__` in a cycle, and no collector"""
    import gc

    gc.disable()
    finalizer_in_cycle()


# The application.


def hangs():
    """Ends by --timeout: no row."""
    global kept
    import time

    class Hangs:
        def __del__(self, sleep=time.sleep):
            sleep(600)

    kept = Hangs()


def prints():
    """Differs from CGIHandler, where it is a part of the response: no row."""
    global kept

    class Prints:
        def __del__(self, write=os.write):
            write(1, b"printed at the end\n")

    kept = Prints()


def lxml_memory():
    """Shows nothing: no row."""
    global kept
    import io

    from lxml import etree

    tree = etree.parse(io.BytesIO(b"<a><b c='d'>e</b><!-- f --></a>"))
    sheet = b"<x:stylesheet version='1.0' xmlns:x='http://www.w3.org/1999/XSL/Transform'/>"
    schema = b"<x:schema xmlns:x='http://www.w3.org/2001/XMLSchema'><x:element name='a'/></x:schema>"
    reading = etree.iterparse(io.BytesIO(b"<a><b/></a>"))
    next(reading)
    kept = [
        *tree.iter(),
        tree.getroot()[0].attrib,
        etree.XSLT(etree.XML(sheet)),
        etree.XMLSchema(etree.XML(schema)),
        etree.XPath("/a/b"),
        etree.XMLPullParser(),
        etree.HTML("<p>text"),
        etree.DTD(io.BytesIO(b"<!ELEMENT a ANY>")),
        etree.QName("a"),
        etree.CDATA("a"),
        reading,
        tree,
    ]


def numpy_numbers():
    """Shows nothing: no row."""
    global kept
    kept = [numpy.float64(1.5), numpy.int64(2), numpy.bool_(True), numpy.str_("text"), numpy.datetime64("2026-01-01")]


def application(environ, start_response):
    if os.environ["WHEN"] == "request":
        globals()[os.environ["KIND"]]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"answered\n"]


if os.environ["KIND"].startswith("numpy"):
    import numpy

if os.environ["WHEN"] == "import":
    globals()[os.environ["KIND"]]()
