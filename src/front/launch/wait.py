def wait():
    import posix, sys
    if not posix.read(int(sys.argv[1]), 1):
        posix._exit(1)
globals().pop("wait")()
