"""An application whose import leaves something open: KIND names a function below, and what it returns answers requests.

PLACE is a directory of the test. An answer must be the same for every request, cold and warm, unless the function says
otherwise.
"""

import fcntl
import os
import signal
import socket
import tempfile
import time

PLACE = os.environ["PLACE"]


def path(name):
    return os.path.join(PLACE, name)


def log(text):
    """One line, by one write, to the file of what was done."""
    descriptor = os.open(path("done"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, (text + "\n").encode())
    os.close(descriptor)


# For reading.


def zip_file():
    import zipfile

    archive = zipfile.ZipFile(path("data.zip"))

    def answer(query):
        content = archive.read(query)
        return "right" if content == query.encode() * 20_000 else "wrong bytes of " + query

    return answer


def text_file():
    with open(path("lines"), "w") as file:
        file.writelines("line %d %s\n" % (number, "x" * 9_000) for number in range(9))
    file = open(path("lines"))
    file.readline()

    def answer(query):
        numbers = [line.split()[1] for line in file]
        return " ".join(numbers)

    return answer


def unbuffered_file():
    with open(path("bytes"), "wb") as file:
        file.write(b"0123456789")
    file = open(path("bytes"), "rb", buffering=0)
    other = os.dup(file.fileno())
    flags = fcntl.fcntl(other, fcntl.F_GETFD)
    fcntl.fcntl(file.fileno(), fcntl.F_SETFD, 0)
    file.read(2)

    def answer(query):
        first = os.read(other, 3)
        flags_now = [fcntl.fcntl(number, fcntl.F_GETFD) for number in (other, file.fileno())]
        # Two descriptors of one open file have one position.
        return "%s %s %s" % (first, file.read(2), flags_now == [flags, 0])

    return answer


def removed_file():
    with open(path("removed"), "w") as file:
        file.write("first\nsecond\n")
    file = open(path("removed"))
    file.readline()
    os.unlink(path("removed"))
    return lambda query: file.read()


def directory():
    os.makedirs(path("d/e"), exist_ok=True)
    descriptor = os.open(path("d"), os.O_RDONLY)
    return lambda query: " ".join(os.listdir(descriptor))


def forbidden_file():
    name = path("forbidden-%d" % os.getpid())
    with open(name, "w") as file:
        file.write("secret")
    descriptor = os.open(name, os.O_RDONLY)
    os.chmod(name, 0)
    return lambda query: os.read(descriptor, 9).decode()


# For writing.


def written_file():
    file = open(path("written"), "w")
    return lambda query: str(file.write("text"))


def appended_log():
    import logging

    handler = logging.FileHandler(path("done"))
    logging.getLogger().addHandler(handler)
    # Still in the buffer when the import ends.
    handler.stream.write("import\n")

    def answer(query):
        logging.warning("request")
        return "logged"

    return answer


def unflushed_file():
    file = open(path("unflushed"), "a")
    file.write("import\n")
    return lambda query: str(file.write("request\n"))


def appended_and_read():
    with open(path("both"), "w") as file:
        file.write("1\n2\n3\n")
    descriptor = os.open(path("both"), os.O_RDWR | os.O_APPEND)
    os.read(descriptor, 2)
    return lambda query: os.read(descriptor, 2).decode()


def temporary_file():
    file = tempfile.TemporaryFile("w+b", buffering=0)
    file.write(b"import")

    def answer(query):
        file.write(b" %d" % os.getpid())
        file.seek(0)
        return str(file.read().decode() == "import %d" % os.getpid())

    return answer


def temporary_named():
    file = tempfile.NamedTemporaryFile(dir=PLACE, suffix=".temporary")
    return lambda query: str(file.write(b"text"))


def memory_file():
    file = os.fdopen(os.memfd_create("left-open"), "w+b", buffering=0)
    file.write(b"import")

    def answer(query):
        file.write(b" request")
        file.seek(0)
        return file.read().decode()

    return answer


def large_memory_file():
    descriptor = os.memfd_create("left-open")
    os.ftruncate(descriptor, 8 << 20)
    return lambda query: str(os.fstat(descriptor).st_size)


def sqlite_database():
    import sqlite3

    database = sqlite3.connect(path("database"), timeout=60)
    database.execute("CREATE TABLE IF NOT EXISTS done (number)")
    database.commit()

    def answer(query):
        with database:
            database.execute("INSERT INTO done VALUES (?)", [query])
        return "stored"

    return answer


def closed_database():
    import sqlite3

    def connect():
        return sqlite3.connect(path("database"), timeout=60)

    with connect() as database:
        database.execute("CREATE TABLE IF NOT EXISTS done (number)")
    database.close()

    def answer(query):
        with connect() as database:
            database.execute("INSERT INTO done VALUES (?)", [query])
        database.close()
        return "stored"

    return answer


def store():
    """Like Zope's FileStorage: an index in memory, a file that is written at the end that the index has, and a lock
    that the process holds until it ends.
    """
    lock = os.open(path("store.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)
    descriptor = os.open(path("store"), os.O_RDWR | os.O_CREAT, 0o644)
    # A record that was only partly written was not acknowledged.
    end = os.fstat(descriptor).st_size // 32 * 32

    def answer(query):
        record = b"%-31s\n" % query.encode()
        os.lseek(descriptor, end, os.SEEK_SET)
        for byte in record:
            os.write(descriptor, bytes([byte]))
        return "stored"

    return answer


# Locks.


def flock():
    file = open(path("flock"), "a")
    fcntl.flock(file, fcntl.LOCK_EX)
    return lambda query: str(file.closed)


def posix_lock():
    file = open(path("posix"), "a")
    fcntl.lockf(file, fcntl.LOCK_EX)
    return lambda query: str(file.closed)


# Sockets.


def connection():
    number = int(os.environ["PORT"])
    made = socket.create_connection(("127.0.0.1", number))
    return lambda query: str(made.getpeername()[1] == number)


def unix_connection():
    made = socket.socket(socket.AF_UNIX)
    made.connect(path("listens"))
    return lambda query: str(made.getpeername() == path("listens"))


def listening():
    made = socket.socket(socket.AF_UNIX)
    name = path("own-%d" % os.getpid())
    made.bind(name)
    made.listen()
    return lambda query: str(made.getsockname() == name)


def bound_name():
    """Only one process at a time may bind this name."""
    made = socket.socket(socket.AF_UNIX)
    made.bind("\0" + PLACE)
    made.listen()
    return lambda query: str(made.getsockname() == b"\0" + PLACE.encode())


def syslog():
    import logging.handlers

    logging.getLogger().addHandler(logging.handlers.SysLogHandler(path("datagrams")))

    def answer(query):
        logging.warning("request %s", query)
        return "sent"

    return answer


def datagrams():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect(("127.0.0.1", int(os.environ["UDP_PORT"])))
    return lambda query: str(made.send(query.encode()))


def event_loop():
    import asyncio

    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))

    def answer(query):
        async def thread():
            return await loop.run_in_executor(None, lambda: query)

        result = loop.run_until_complete(asyncio.wait_for(thread(), 60))
        return str(result == query)

    return answer


def pair():
    one, other = socket.socketpair()

    def answer(query):
        text = b"%d" % os.getpid()
        one.send(text)
        return str(other.recv(100) == text)

    return answer


def datagram_pair():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    twin = other.dup()

    def answer(query):
        text = b"%d" % os.getpid()
        one.send(text)
        twin.send(text)
        return str((other.recv(100), one.recv(100)) == (text, text))

    return answer


def event_loop_of_connection():
    import selectors

    made = socket.socket(socket.AF_UNIX)
    made.connect(path("listens"))
    selector = selectors.EpollSelector()
    selector.register(made, selectors.EVENT_WRITE)
    return lambda query: str(len(selector.select(60)))


def pair_with_content():
    one, other = socket.socketpair()
    one.send(b"import")
    return lambda query: other.recv(6).decode()


# Pipes and other descriptors, mostly without a name.


def pipe():
    reads, writes = os.pipe()

    def answer(query):
        text = b"%d" % os.getpid()
        os.write(writes, text)
        return str(os.read(reads, 100) == text)

    return answer


def pipe_with_content():
    reads, writes = os.pipe()
    os.write(writes, b"import")
    return lambda query: os.read(reads, 6).decode()


def pipe_to_process():
    import subprocess

    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def answer(query):
        process.stdin.write(b"%s\n" % query.encode())
        return str(process.stdout.readline() == b"%s\n" % query.encode())

    return answer


def pipe_beside_process():
    """A process that the import has started may have an end of the pipe."""
    import subprocess

    reads, writes = os.pipe()
    loop = "while kill -0 %d; do sleep 0.1; done" % os.getpid()
    process = subprocess.Popen(["sh", "-c", loop], stderr=subprocess.DEVNULL, pass_fds=[writes])
    return lambda query: str((process.pid > 0, os.write(writes, b"1"), reads > 2))


def fifo():
    try:
        os.mkfifo(path("fifo"))
    except FileExistsError:
        pass
    descriptor = os.open(path("fifo"), os.O_RDONLY | os.O_NONBLOCK)
    return lambda query: str(os.read(descriptor, 1))


def event():
    """An eventfd, made by the C library: Python has os.eventfd only since 3.10."""
    descriptor = c_library().eventfd(2, 0)

    def answer(query):
        os.write(descriptor, (5).to_bytes(8, "little"))
        return str(int.from_bytes(os.read(descriptor, 8), "little"))

    return answer


def c_library():
    import ctypes

    return ctypes.CDLL(None)


def inotify():
    descriptor = c_library().inotify_init1(0)
    return lambda query: str(descriptor > 2)


def timer():
    descriptor = c_library().timerfd_create(0, 0)
    return lambda query: str(descriptor > 2)


def process_handle():
    import subprocess

    process = subprocess.Popen(["true"])
    descriptor = os.pidfd_open(process.pid)
    process.wait()
    return lambda query: str(descriptor > 2)


def interval_timer():
    came = []
    signal.signal(signal.SIGALRM, lambda *_: came.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.5)

    def answer(query):
        until = time.monotonic() + 60
        while not came and time.monotonic() < until:
            time.sleep(0.01)
        return "it came" if came else "it never came"

    return answer


# Memory.


def mapped_memory():
    import mmap

    memory = mmap.mmap(-1, 5000)
    memory[:6] = b"import"

    def answer(query):
        found = memory[:6].decode()
        memory[:6] = b"reques"
        return found

    return answer


def large_mapped_memory():
    import mmap

    memory = mmap.mmap(-1, 8 << 20)
    memory[:6] = b"import"
    return lambda query: memory[:6].decode()


def shared_value():
    import multiprocessing

    value = multiprocessing.get_context("fork").Value("i", 7)

    def answer(query):
        with value.get_lock():
            value.value += 1
            return str(value.value)

    return answer


def held_lock():
    import multiprocessing

    lock = multiprocessing.get_context("fork").Lock()
    # The lock is never released: the next request must have its own lock.
    return lambda query: str(lock.acquire(timeout=60))


def shared_with_child():
    """What a request shares with its own child stays shared."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    value = context.Value("i", 7)

    def answer(query):
        child = context.Process(target=setattr, args=(value, "value", 8))
        child.start()
        child.join()
        return str(value.value)

    return answer


def mapped_file():
    """A file that has a name is the same for all processes that map it."""
    import mmap

    with open(path("mapped"), "wb") as file:
        file.write(b"0" * 5000)
    descriptor = os.open(path("mapped"), os.O_RDWR)
    memory = c_library().mmap
    memory.restype = __import__("ctypes").c_void_p
    at = memory(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0)
    os.close(descriptor)

    def answer(query):
        import ctypes

        ctypes.memmove(at, query.encode(), len(query))
        with open(path("mapped"), "rb") as file:
            return str(file.read(len(query)) == query.encode())

    return answer


# What needs no special care.


def devices():
    opened = [os.open(name, os.O_RDWR) for name in ("/dev/null", "/dev/zero", "/dev/full")]
    opened.append(os.open("/dev/urandom", os.O_RDONLY))
    return lambda query: str([len(os.read(number, 3)) for number in opened])


def standard_error():
    descriptor = os.dup(2)

    def answer(query):
        os.write(descriptor, b"a line of the request\n")
        return "written"

    return answer


def nothing():
    return lambda query: "nothing"


answer = globals()[os.environ["KIND"]]()


def application(environ, start_response):
    body = answer(environ.get("QUERY_STRING") or "none").encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
