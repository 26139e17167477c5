"""Reports as text what the import system does with modules of every kind. For one directory the report of plain Python
(`python import_report.py DIRECTORY`) and the report of an application under cgi2wsgi must be the same."""

import importlib
import importlib.machinery
import importlib.util
import os
import py_compile
import shutil
import sys
import traceback
import zipfile
from pathlib import Path


def write(path, text, bytecode=None, modified=1_600_000_000.999999999):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (modified, modified))
    if bytecode:
        py_compile.compile(str(path), doraise=True, invalidation_mode=bytecode)


def make(root):
    """A directory of modules. Some have bytecode that is stale, damaged or checked in another way."""
    time, hashed, unchecked = (
        py_compile.PycInvalidationMode.TIMESTAMP,
        py_compile.PycInvalidationMode.CHECKED_HASH,
        py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    write(root / "plain.py", "value = 'plain'\n")
    write(root / "cached.py", "value = 'cached'\n", time)
    write(root / "hashed.py", "value = 'hashed'\n", hashed)
    write(root / "hashed_stale.py", "value = 'old'\n", hashed)
    write(root / "hashed_stale.py", "value = 'new'\n")
    write(root / "unchecked.py", "value = 'the bytecode is never compared'\n", unchecked)
    write(root / "unchecked.py", "value = 'not this'\n")
    write(root / "newer.py", "value = 'old'\n", time)
    write(root / "newer.py", "value = 'new'\n", modified=1_600_000_007)
    write(root / "longer.py", "value = 'old'\n", time)
    write(root / "longer.py", "value = 'a longer one'\n")
    for name, damage in [("cut", lambda b: b[:20]), ("short", lambda b: b[:7]), ("magic", lambda b: b"xxxx" + b[4:])]:
        write(root / f"{name}.py", f"value = {name!r}\n", time)
        cached = Path(importlib.util.cache_from_source(str(root / f"{name}.py")))
        cached.write_bytes(damage(cached.read_bytes()))
    write(root / "package/__init__.py", "value = 'package'\n", time)
    write(root / "package.py", "value = 'the package comes first'\n", time)
    write(root / "package/inner.py", "from . import value as outer\nvalue = outer + ' inner'\n", time)
    write(root / "namespace/part.py", "value = 'part'\n", time)
    write(root / "empty/module.txt", "no package\n")
    write(root / "empty.py", "value = 'a module beside a directory'\n")
    (root / "directory.py").mkdir()
    write(root / "sourceless.py", "value = 'sourceless'\n")
    py_compile.compile(str(root / "sourceless.py"), cfile=str(root / "sourceless.pyc"), doraise=True)
    (root / "sourceless.py").unlink()
    write(root / "mistake.py", "value = (\n")
    write(root / "raises.py", "def f():\n    raise KeyError('k')\nf()\n", time)
    write(root / "ünï.py", "value = 'not ASCII'\n", time)
    with zipfile.ZipFile(root / "archive.zip", "w") as archive:
        archive.writestr("zipped.py", "value = 'zipped'\n")


NAMES = """plain cached hashed hashed_stale unchecked newer longer cut short magic package package.inner namespace
    namespace.part empty directory sourceless mistake raises ünï zipped missing package.missing json.decoder _json
    sys""".split()


def describe(name):
    try:
        module = importlib.import_module(name)
    except Exception as error:
        files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        return f"{type(error).__name__}: {error}; {files[-1:]}"
    spec = module.__spec__
    code = getattr(getattr(spec.loader, "get_code", None), "__call__", lambda name: None)(name)
    facts = [
        getattr(module, "value", None),
        spec.name,
        type(spec.loader).__name__,
        spec.origin,
        spec.cached,
        spec.has_location,
        list(spec.submodule_search_locations or ()),
        getattr(module, "__file__", None),
        code and (code.co_filename, code.co_firstlineno),
    ]
    return repr(facts)


def calls():
    """Calls functions of the import system with arguments of every kind."""
    from_source = importlib.util.cache_from_source
    trials = {
        "plain": lambda: from_source("/a/b/c.py"),
        "relative": lambda: from_source("c.py"),
        "slashes": lambda: from_source("/a//b//c.d.py"),
        "no suffix": lambda: from_source("/a/b"),
        "dot": lambda: from_source("/a/.py"),
        "root": lambda: from_source("/c.py"),
        "bytes": lambda: from_source(b"/a/c.py"),
        "Path": lambda: from_source(Path("/a/c.py")),
        "surrogate": lambda: from_source("/a/\udcff.py"),
        "optimization": lambda: from_source("/a/c.py", optimization=1),
        "empty optimization": lambda: from_source("/a/c.py", optimization=""),
        "bad optimization": lambda: from_source("/a/c.py", optimization="/"),
        "no argument": lambda: from_source(),
        "a number": lambda: from_source(5),
        "finder, a number": lambda: importlib.machinery.FileFinder("/").find_spec(5),
        "finder, nothing": lambda: importlib.machinery.FileFinder("/").find_spec(),
        "finder, NUL": lambda: importlib.machinery.FileFinder("/").find_spec("a\0b"),
        "finder, by name": lambda: importlib.machinery.FileFinder("/").find_spec(fullname="nothing", target=None),
        "loader, another name": lambda: importlib.machinery.SourceFileLoader("a", "/a.py").get_code("b"),
        "loader, no file": lambda: importlib.machinery.SourceFileLoader("a", "/no/a.py").get_code("a"),
    }
    for name, trial in trials.items():
        try:
            yield f"{name}: {trial()!r}"
        except Exception as error:
            yield f"{name}: {type(error).__name__}"


def hooks(root):
    """An audit hook, a replaced method and a derived loader see the same as under plain Python."""
    seen = []

    def look(event, arguments):
        if event == "open" and str(arguments[0]).endswith(".pyc") and str(root) in str(arguments[0]):
            seen.append((Path(arguments[0]).name, *arguments[1:]))
        if event == "marshal.loads" and b"audited module" in bytes(arguments[0]):
            seen.append(event)

    write(root / "audited.py", "value = 'audited module'\n", py_compile.PycInvalidationMode.TIMESTAMP)
    importlib.invalidate_caches()
    sys.addaudithook(look)
    importlib.import_module("audited")
    yield f"audited: {seen}"

    loader = importlib.machinery.SourceFileLoader
    original = loader.get_data
    loader.get_data = lambda self, path: read.append(Path(path).name) or original(self, path)
    read = []
    write(root / "replaced.py", "value = 1\n", py_compile.PycInvalidationMode.TIMESTAMP)
    importlib.invalidate_caches()
    try:
        importlib.import_module("replaced")
    finally:
        loader.get_data = original
    yield f"replaced: {read}"

    class Own(loader):
        def path_stats(self, path):
            asked.append(Path(path).name)
            return super().path_stats(path)

    asked = []
    code = Own("cached", str(root / "cached.py")).get_code("cached")
    yield f"derived: {asked} {code.co_filename}"

    sys.pycache_prefix = str(root / "elsewhere")
    yield f"prefix: {importlib.util.cache_from_source('/a/c.py')}"
    sys.pycache_prefix = None
    tag, sys.implementation.cache_tag = sys.implementation.cache_tag, None
    try:
        importlib.util.cache_from_source("/a/c.py")
    except NotImplementedError as error:
        yield f"no tag: {error}"
    sys.implementation.cache_tag = tag

    write(root / "later.py", "value = 'made while the process runs'\n")
    importlib.invalidate_caches()
    yield f"later: {describe('later')}"


def report(root):
    root = root / "modules"
    shutil.rmtree(root, ignore_errors=True)
    make(root)
    os.chdir(root)
    sys.path[:0] = [str(root), str(root / "archive.zip"), str(root / "not there")]
    importlib.invalidate_caches()
    yield from (f"{name}: {describe(name)}" for name in NAMES)
    yield from calls()
    yield from hooks(root)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    # `hooks` adds an audit hook, which cannot be removed: this process makes only one report.
    return ["\n".join(report(Path(os.environ["DIRECTORY"]))).encode()]


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print("\n".join(report(Path(sys.argv[1]))), end="")
