def boot():
    import sys
    try:
        if sys.implementation.name == "cpython" and sys.version_info >= (3, 9) and sys.abiflags == "":
            import _frozen_importlib, _imp
            module = _imp.create_dynamic(_frozen_importlib.ModuleSpec("cgi2wsgi_worker", None, origin=sys.argv[2]))
            _imp.exec_dynamic(module)
            return module.run
    except (AttributeError, ImportError):
        pass
    exec(sys.argv[3], {})
globals().pop("boot")()()
