"""On which CPUs the contenders of a row run.

The time of a round trip depends more on this than on the contender. A placement holds while the
contenders of a row are running. This file must not know which contenders they are.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

BUSY_LOOPS = 2


class Placement(NamedTuple):
    """`suffix` is added to the key of a row, and `title` to its title."""

    suffix: str
    title: str
    hold: Callable


@contextlib.contextmanager
def one_core():
    """Keep this process, and whatever it starts in the meantime, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def busy():
    """Let two other processes compute in the meantime."""
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
#: The placements in which round trips are measured.
ALL = (IDLE, ONE_CORE, BUSY) if hasattr(os, "sched_setaffinity") else (IDLE, BUSY)
