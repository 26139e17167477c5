import sys
number, worker = int(sys.argv[1]), sys.argv[2]
name = getattr(getattr(sys, "implementation", None), "name", "cpython")
flags = getattr(sys, "abiflags", "")
version = "%d.%d.%d" % sys.version_info[:3]
if hasattr(sys, "pypy_version_info") or name != "cpython":
    reason = "it is %s and not CPython" % (name if name != "cpython" else "pypy")
elif sys.version_info < (3, 9):
    reason = "it is Python " + version
elif "t" in flags:
    reason = "it is a free-threaded build of Python " + version
elif "d" in flags or hasattr(sys, "gettotalrefcount"):
    reason = "it is a debug build of Python " + version
else:
    try:
        import _frozen_importlib, _imp
        spec = _frozen_importlib.ModuleSpec("cgi2wsgi_worker", None, origin=worker)
        module = _imp.create_dynamic(spec)
        _imp.exec_dynamic(module)
    except ImportError:
        reason = "Python %s cannot load the worker: %s" % (version, sys.exc_info()[1])
    else:
        # ABI flags that were unknown when this was written, and that do no harm.
        module.run()
import posix
text = reason.encode("ascii", "backslashreplace").decode("ascii")
text = "1:U%d:%s" % (len(text), text)
posix.write(number, ("%d:%s" % (len(text), text)).encode("ascii"))
posix._exit(2)
