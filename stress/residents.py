"""Counts what this process holds: descriptors, threads, children, shared and resident memory.

A suite has a leak if it leaves more behind than it found.
"""

import gc
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))

import programs

#: After so many seconds an operation counts as hung.
PATIENCE = int(os.environ.get("STRESS_PATIENCE", "60"))


def snapshot():
    """Return descriptors, threads and children as a set."""
    me = os.getpid()
    spares = programs.spares_of(me)  # each start uses up one, and a new one is forked
    found = {("child", pid) for pid, _ in programs.descendants_of(me) if pid not in spares}
    found |= {("thread", task.name) for task in Path("/proc/self/task").iterdir()}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(("descriptor", entry.name, str(entry.readlink())))
        except OSError:  # the descriptor of the listing itself
            continue
    return found


def leaks_since(before):
    """Return what was not in `before`, after waiting for it to go away."""
    deadline = time.monotonic() + PATIENCE
    gc.collect()
    while (left := snapshot() - before) and time.monotonic() < deadline:
        time.sleep(0.005)
        gc.collect()
    return left


def mapped_bytes():
    """Return how many bytes of this package's shared memory are mapped."""
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/memfd:futures_actors" in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            total += end - start
    return total


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
