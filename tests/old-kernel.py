"""old-kernel.py COMMAND...: runs a command to which the kernel answers as one before 3.17 does: memfd_create, pidfd_open,
pidfd_send_signal, close_range, process_madvise and openat2 are system calls that it does not know (ENOSYS).

The filter (seccomp) is the simplest that there is: the number of the call, on this processor.
"""

import ctypes
import os
import platform
import struct
import sys

# The newer ones have one number on all processors.
NUMBERS = {"x86_64": [319], "aarch64": [279]}[platform.machine()] + [424, 434, 436, 437, 440]
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ENOSYS = 0x7FFF0000, 0x00050000 | 38
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2

program = [struct.pack("HBBI", LOAD, 0, 0, 0)]
for left, number in zip(range(len(NUMBERS), 0, -1), NUMBERS):
    program.append(struct.pack("HBBI", EQUAL, left, 0, number))
program += [struct.pack("HBBI", RETURN, 0, 0, ALLOW), struct.pack("HBBI", RETURN, 0, 0, ENOSYS)]

code = ctypes.create_string_buffer(b"".join(program))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
zero = ctypes.c_ulong(0)
if libc.prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
    SECCOMP, ctypes.c_ulong(FILTER), ctypes.c_void_p(ctypes.addressof(filter)), zero, zero
):
    sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
