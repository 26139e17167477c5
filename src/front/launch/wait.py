def wait():
    import posix, sys
    if not posix.read(int(sys.argv[1]), 1):
        posix._exit(2)
globals().pop("wait")()
