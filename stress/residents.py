"""What this process has: descriptors, threads, children, shared memory, resident memory. A suite
that leaves more of it behind than it found has a leak."""

import gc
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))

import programs

#: Seconds that anything may take before it counts as hung.
PATIENCE = int(os.environ.get("STRESS_PATIENCE", "60"))


def snapshot():
    """Return descriptors, threads and children as a set."""
    me = os.getpid()
    spares = programs.spares_of(me)  # each start takes one, and another one comes
    found = {("child", pid) for pid, _ in programs.descendants_of(me) if pid not in spares}
    found |= {("thread", task.name) for task in Path("/proc/self/task").iterdir()}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(("descriptor", entry.name, str(entry.readlink())))
        except OSError:  # the listing's own
            continue
    return found


def leaks_since(before):
    """Wait until what is ending has ended, then return what was not in `before`."""
    deadline = time.monotonic() + PATIENCE
    gc.collect()
    while (left := snapshot() - before) and time.monotonic() < deadline:
        time.sleep(0.005)
        gc.collect()
    return left


def mapped_bytes():
    """Return how much memory is mapped from files without a name, as ours is shared."""
    total = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/memfd:futures_actors" in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            total += end - start
    return total


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
