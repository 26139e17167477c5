# What `cgi2wsgi check` examines inside the site's own Python. This writes facts to a descriptor as lines of JSON; the
# reader decides what they mean. Python 2.7 and newer can parse this.
import json, os, sys, time


def text(value, most=2000):
    try:
        value = value if isinstance(value, str) else str(value)
        value = value.encode("utf-8", "backslashreplace").decode("utf-8")
    except Exception:
        value = "<%s without a text>" % type(value).__name__
    return value[:most]


def say(about, **facts):
    data = json.dumps(dict(facts, about=about)) + "\n"
    data = data if isinstance(data, bytes) else data.encode("ascii")
    while data:
        data = data[os.write(number, data):]


def mark(line):
    # Descriptor 2, to which -X importtime writes: the application may have closed or replaced sys.stderr.
    try:
        sys.stderr.flush()
        os.write(2, line.encode("ascii"))
    except Exception:
        pass


def frames(error):
    import traceback
    found = []
    for frame in traceback.extract_tb(getattr(error, "__traceback__", None)):
        file = frame[0]
        if file == "<string>" or file.startswith("<frozen "):
            continue
        found.append({"file": text(file), "line": frame[1], "name": text(frame[2], 80), "code": text(frame[3] or "", 200)})
    return found[-40:]


def module_facts(name):
    facts = {"included": name in getattr(sys, "stdlib_module_names", ())}
    file = getattr(sys.modules.get(name), "__file__", None)
    if file:
        facts["file"] = text(file)
        if "-packages" in file:
            try:
                from importlib.metadata import version
                facts["version"] = text(version(name), 80)
            except Exception:
                pass
    return facts


def described(error, causes=4):
    facts = {"types": [base.__name__ for base in type(error).__mro__], "module": text(type(error).__module__, 200)}
    facts.update(text=text(error), frames=frames(error), here=text(os.getcwd()))
    for name in ("name", "filename", "lineno", "code", "path", "errno"):
        value = getattr(error, name, None)
        if isinstance(value, (str, int)):
            facts[name] = text(value) if isinstance(value, str) else value
    for name, value in (("source", getattr(error, "text", None)), ("key", (error.args or [None])[0])):
        if isinstance(value, str):
            facts[name] = text(value)
    trace = getattr(error, "__traceback__", None)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    facts["in_os"] = trace is not None and trace.tb_frame.f_code.co_filename in ("<frozen os>", os.__file__)
    names = [facts.get("name") or "", (facts["text"].split("module '") + [""])[1].split("'")[0], (facts["text"].split("'") + [""])[1]]
    facts["modules"] = dict((name, module_facts(name)) for name in set(text(name.split(".")[0], 200) for name in names) if name)
    names = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONUTF8")
    facts["variables"] = dict((name, text(os.environ[name])) for name in names if name in os.environ)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and causes:
        facts["cause"] = described(cause, causes - 1)
    return facts


def root_of_package(file):
    directory, root = os.path.dirname(file), None
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory = root = os.path.dirname(directory)
    return root


def run_as_main(module, file, code):
    module.__file__ = file
    module.__spec__ = None
    sys.modules["__mp_main__"] = sys.modules["__main__"] = module
    exec(code, module.__dict__)
    return module


def load(kind, name):
    # In the same way as the worker.
    import importlib, types
    if kind == "module":
        return importlib.import_module(name)
    stem, suffix = os.path.splitext(os.path.basename(name))
    root = root_of_package(name)
    if suffix == ".py" and root:
        return importlib.import_module(os.path.relpath(name, root)[:-3].replace(os.sep, "."))
    if suffix == ".py":
        import importlib.util
        usual = stem.isidentifier() and stem != "__main__" and stem not in sys.modules
        spec = importlib.util.spec_from_file_location(stem if usual else "__mp_main__", name)
        if usual and hasattr(importlib._bootstrap, "_load"):
            return importlib._bootstrap._load(spec)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        if not usual:
            module.__spec__ = None
            sys.modules["__main__"] = module
        spec.loader.exec_module(module)
        return module
    module = types.ModuleType("__mp_main__")
    if kind == "archive":
        import zipimport
        code = zipimport.zipimporter(name).get_code("__main__")
        sys.path.insert(0, name)
        return run_as_main(module, os.path.join(name, "__main__.py"), code)
    with open(name, "rb") as file:
        source = file.read()
    return run_as_main(module, name, compile(source, name, "exec", dont_inherit=True))


def names_of(thing):
    own, found = getattr(thing, "__name__", None), []
    for name in dir(thing):
        if name.startswith("_"):
            continue
        value = getattr(thing, name, None)
        if callable(value) and getattr(value, "__module__", own) in (own, None):
            found.append(text(name, 80))
        elif callable(value) and not isinstance(value, type) and getattr(type(value), "__module__", "") != "builtins":
            if type(value).__name__ != "function":
                found.append(text(name, 80))
    return found[:20]


def protocol(found):
    import inspect
    call = found if inspect.isroutine(found) or isinstance(found, type) else type(found).__call__
    facts = {"is_async": inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(call)}
    try:
        signature = inspect.signature(found)
        for count in (2, 0, 1, 3):
            try:
                signature.bind(*[None] * count)
            except TypeError:
                continue
            facts.setdefault("takes", []).append(count)
        facts["parameters"] = [text(name, 80) for name in signature.parameters][:8]
    except (TypeError, ValueError):
        pass
    return facts


def find(module, attributes, is_factory):
    if not attributes:
        for name in ("application", "app"):
            if hasattr(module, name):
                attributes = name
                break
        else:
            say("callable", missing="", there=names_of(module))
            return None
    found = module
    for name in attributes.split("."):
        if not hasattr(found, name):
            say("callable", missing=text(name), there=names_of(found))
            return None
        found = getattr(found, name)
    if is_factory:
        if not callable(found):
            say("callable", name=attributes, type=type(found).__name__, is_callable=False, is_factory=True)
            return None
        try:
            found = found()
        except BaseException as error:
            say("factory", name=attributes, error=described(error))
            return None
    facts = {"name": attributes, "type": type(found).__name__, "module": text(type(found).__module__, 200)}
    facts["bases"] = [base.__module__.split(".")[0] for base in type(found).__mro__ if isinstance(base.__module__, str)]
    facts["is_callable"] = callable(found)
    if not facts["is_callable"]:
        facts["there"] = names_of(module)
    else:
        facts.update(protocol(found))
        if isinstance(found, type):
            facts["type"] = "class " + found.__name__
    say("callable", **facts)
    return found if facts["is_callable"] else None


def writable(path):
    # What SQLite needs: the file, and its directory for the journal.
    directory = os.path.dirname(os.path.abspath(path))
    return {
        "path": text(path), "directory": text(directory), "is_there": os.path.exists(path),
        "is_writable": os.access(path, os.W_OK), "directory_is_there": os.path.isdir(directory),
        "directory_is_writable": os.access(directory, os.W_OK | os.X_OK),
    }


def key_facts(key):
    if not key:
        return {"is_empty": True}
    key = key.decode("latin-1") if isinstance(key, bytes) else str(key)
    return {"length": len(key), "different": len(set(key)), "is_insecure": key.startswith("django-insecure-"),
            "is_known": key.lower() in ("dev", "development", "secret", "changeme", "change-me", "test", "key")}


def logs_errors():
    # Whether an error that Django catches would be written anywhere.
    import logging
    record = logging.LogRecord("django.request", logging.ERROR, "", 0, "", (), None)
    logger = logging.getLogger("django.request")
    if not logger.isEnabledFor(logging.ERROR):
        return False
    found = False
    while logger:
        for handler in logger.handlers:
            found = True
            name = type(handler).__name__
            if handler.level <= logging.ERROR and name != "NullHandler" and handler.filter(record):
                if name == "AdminEmailHandler":
                    from django.conf import settings
                    if not settings.ADMINS:
                        continue
                return True
        logger = logger.parent if logger.propagate else None
    return not found


def django(host):
    from django.conf import settings
    if not settings.configured:
        return
    import django as package
    facts = {"version": package.get_version(), "debug": bool(settings.DEBUG), "settings": os.environ.get("DJANGO_SETTINGS_MODULE", "")}
    facts["allowed_hosts"] = [text(name, 200) for name in settings.ALLOWED_HOSTS][:20]
    from django.http.request import validate_host
    names = list(settings.ALLOWED_HOSTS) or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    facts["allows_host"] = bool(host) and validate_host(host.partition(":")[0].lower(), names)
    facts["logs_errors"] = bool(settings.DEBUG) or logs_errors()
    try:
        facts["key"] = key_facts(settings.SECRET_KEY)
    except Exception:
        facts["key"] = key_facts("")
    facts["databases"] = []
    for name, database in settings.DATABASES.items():
        place = str(database.get("NAME") or "")
        if database.get("ENGINE", "").endswith("sqlite3") and place and ":memory:" not in place:
            facts["databases"].append(writable(place))
    if "django.contrib.staticfiles" in settings.INSTALLED_APPS:
        place = str(settings.STATIC_ROOT) if settings.STATIC_ROOT else ""
        facts["static"] = {"url": text(settings.STATIC_URL or ""), "root": text(place),
                           "is_filled": bool(place) and os.path.isdir(place) and bool(os.listdir(place)),
                           "whitenoise": any("whitenoise" in name for name in settings.MIDDLEWARE)}
    say("django", **facts)
    from django.core.checks import run_checks
    found = [message for message in run_checks(include_deployment_checks=True) if not message.is_silenced()]
    found = [{"id": text(message.id or "", 80), "level": message.level, "text": text(message.msg, 400)} for message in found]
    say("django check", messages=[message for message in found if message["level"] >= 30][:40])


def flask(application):
    import flask as package
    if not isinstance(application, package.Flask):
        return
    facts = {"debug": bool(application.debug), "key": key_facts(application.secret_key), "databases": []}
    url = str(application.config.get("SQLALCHEMY_DATABASE_URI") or "")
    if url.startswith("sqlite:///") and ":memory:" not in url and len(url) > 10:
        facts["databases"].append(writable(os.path.join(application.instance_path, url[10:].partition("?")[0])))
    say("flask", **facts)


def requirements(place):
    # Which of the packages that requirements.txt names are not installed.
    import re
    try:
        from importlib.metadata import version
        with open(os.path.join(place, "requirements.txt"), errors="replace") as file:
            lines = file.read(65536).splitlines()
    except (ImportError, OSError):
        return
    missing = []
    for line in lines:
        match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*([<>=!~]=?[^;#]*)?(#.*)?$", line)
        if match:
            try:
                version(match.group(1))
            except Exception:
                missing.append(match.group(1)[:80])
    if missing:
        say("requirements", file=text(os.path.join(place, "requirements.txt")), missing=missing[:20])


def main(argv):
    global number
    number, patience, kind, name, attributes, is_factory, host, place = argv[:8]
    number, is_factory, paths = int(number), is_factory == "1", argv[8:]
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    facts = {"version": "%d.%d.%d" % sys.version_info[:3], "numbers": list(sys.version_info[:3]), "prefix": text(sys.prefix)}
    facts["kind"] = "pypy" if hasattr(sys, "pypy_version_info") else getattr(getattr(sys, "implementation", None), "name", "cpython")
    facts["abiflags"] = getattr(sys, "abiflags", "")
    if "d" not in facts["abiflags"] and hasattr(sys, "gettotalrefcount"):
        facts["abiflags"] += "d"
    if sys.version_info >= (3, 9):
        import _locale
        facts["encoding"] = sys.getfilesystemencoding()
        before = _locale.setlocale(_locale.LC_ALL)
        try:
            _locale.setlocale(_locale.LC_ALL, "")
        except _locale.Error:
            facts["no_locale"] = True
        _locale.setlocale(_locale.LC_ALL, before)
    say("python", **facts)
    if sys.version_info < (3, 9) or kind == "none":
        return
    import faulthandler
    faulthandler.enable()
    faulthandler.dump_traceback_later(float(patience), exit=True)
    faulthandler.register(61, all_threads=True)
    sys.argv = [name]
    sys.path[0:0] = paths
    import importlib.util, types
    mark("cgi2wsgi check: the import begins\n")
    began = time.time()
    try:
        module = load(kind, name)
    except BaseException as error:
        say("import", seconds=time.time() - began, error=described(error))
        requirements(place)
        return
    seconds = time.time() - began
    mark("cgi2wsgi check: the import is over\n")
    say("import", seconds=seconds)
    requirements(place)
    application = find(module, attributes, is_factory)
    for package in ("django", "flask"):
        if package in sys.modules and application is not None:
            try:
                django(host) if package == "django" else flask(application)
            except BaseException as error:
                say(package, error=described(error))
    say("end")


main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
