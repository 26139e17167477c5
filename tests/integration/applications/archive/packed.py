"""Is in the archive beside its `__main__.py`."""

ANSWER = b"found in the archive\n"
