"""A clock that jumps in one process, and not on the whole machine."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*read)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = read(clock, now);
    char *jump = getenv("CLOCK_JUMP");
    if (clock == CLOCK_REALTIME && jump) now->tv_sec += atol(jump);
    return status;
}
"""


def build_clock(folder: Path) -> Path | None:
    """Build the library that makes a process see another time of day; None without a compiler."""
    library = folder / "clock.so"
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-ldl", "-o", str(library)]
    try:
        subprocess.run(command, input=CLOCK, text=True, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


def set_clock(seconds: int) -> None:
    os.environ["CLOCK_JUMP"] = str(seconds)
    assert abs(time.time() - Path("/proc/self").stat().st_ctime) > abs(seconds) / 2, "the clock has not jumped"
