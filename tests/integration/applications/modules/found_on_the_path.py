ANSWER = b"found on the path\n"
