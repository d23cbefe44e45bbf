"""Where a row's contenders run: round trips depend on that more than on who makes them.

A placement holds while the contenders of a row are up. Must not know who they are.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

BUSY_LOOPS = 2


class Placement(NamedTuple):
    """`suffix` is what it adds to a row's key, `title` to its title."""

    suffix: str
    title: str
    hold: Callable


@contextlib.contextmanager
def one_core():
    """Keep this process, and what it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def busy():
    """Have two other processes compute."""
    command = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(command) for _ in range(BUSY_LOOPS)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


ANYWHERE = Placement("", "", contextlib.nullcontext)
IDLE = Placement("", ", cores idle", contextlib.nullcontext)
ONE_CORE = Placement("-one-core", ", one core", one_core)
BUSY = Placement("-busy", ", beside two busy loops", busy)
#: Of round trips.
ALL = (IDLE, ONE_CORE, BUSY) if hasattr(os, "sched_setaffinity") else (IDLE, BUSY)
