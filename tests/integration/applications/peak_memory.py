"""Runs the fixture of FIXTURE, and writes the peak memory of the process, in KiB, to REPORT at exit."""

import atexit
import os
import runpy

application = runpy.run_path(os.environ["FIXTURE"])["application"]


@atexit.register
def report():
    # Of this program alone: ru_maxrss includes the program before exec.
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
    with open(os.environ["REPORT"], "w") as file:
        file.write(peak)
