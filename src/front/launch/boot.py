def boot():
    import sys
    number, worker, refusal = sys.argv[1:]
    try:
        if sys.implementation.name == "cpython" and sys.version_info >= (3, 9) and sys.abiflags == "":
            import _frozen_importlib, _imp
            spec = _frozen_importlib.ModuleSpec("cgi2wsgi_worker", None, origin=worker)
            module = _imp.create_dynamic(spec)
            _imp.exec_dynamic(module)
            return lambda: module.run(int(number))
    except (AttributeError, ImportError):
        pass
    return lambda: eval(compile(refusal, "", "exec"), {"number": int(number), "worker": worker})
globals().pop("boot")()()
