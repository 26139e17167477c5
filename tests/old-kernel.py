"""old-kernel.py COMMAND...: runs a command to which the kernel answers as Linux 3.10 does, which many hosts still have.

Later system calls are unknown (ENOSYS): memfd_create, getrandom, renameat2, execveat, copy_file_range, preadv2,
statx and everything from pidfd_send_signal on, which is number 424 on all processors: pidfd_open, clone3, close_range,
openat2, faccessat2, process_madvise. Opening a file without a name (O_TMPFILE) fails with EISDIR, and the advice of
madvise from MADV_COLD on is invalid (EINVAL).

The filter (seccomp) knows only this processor's numbers.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

LATER = 424
UNKNOWN, OPEN, OPENAT, MADVISE = {
    # memfd_create, getrandom, renameat2, execveat, membarrier, copy_file_range, preadv2, pwritev2, statx, rseq
    "x86_64": ([319, 318, 316, 322, 324, 326, 327, 328, 332, 334], 2, 257, 28),
    "aarch64": ([279, 278, 276, 281, 283, 285, 286, 287, 291, 293], None, 56, 233),
}[platform.machine()]
O_TMPFILE, MADV_COLD = 0o20000000, 20
LOAD, EQUAL, AT_LEAST, HAS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW = 0x7FFF0000
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
program = []


def add(*instructions):
    for code, if_so, else_so, value in instructions:
        program.append(struct.pack("HBBI", code, if_so, else_so, value))


def fails_with(number):
    return RETURN, 0, 0, 0x00050000 | number


def with_argument(call, index, comparison, value, error):
    """Makes the call fail with `error` if the comparison of the lower half of that argument with `value` holds."""
    add((LOAD, 0, 0, 0), (EQUAL, 0, 3, call), (LOAD, 0, 0, 16 + 8 * index), (comparison, 0, 1, value), fails_with(error))


with_argument(OPENAT, 2, HAS, O_TMPFILE, errno.EISDIR)
if OPEN is not None:
    with_argument(OPEN, 1, HAS, O_TMPFILE, errno.EISDIR)
with_argument(MADVISE, 2, AT_LEAST, MADV_COLD, errno.EINVAL)
add((LOAD, 0, 0, 0), (AT_LEAST, 0, 1, LATER), fails_with(errno.ENOSYS))
for number in UNKNOWN:
    add((EQUAL, 0, 1, number), fails_with(errno.ENOSYS))
add((RETURN, 0, 0, ALLOW))

code = ctypes.create_string_buffer(b"".join(program))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
zero = ctypes.c_ulong(0)
if libc.prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(
    SECCOMP, ctypes.c_ulong(FILTER), ctypes.c_void_p(ctypes.addressof(filter)), zero, zero
):
    sys.exit("the filter cannot be set: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
