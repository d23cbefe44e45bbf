"""`python queued.py CONTENDER COUNT` prints how much memory COUNT waiting messages take, as JSON.

This is a separate program, so that no contender reuses memory that another one has freed. Every
message is the same small integer, so only the contender's own memory grows. Nothing is timed here.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import contenders

WARM_COUNT = (
    1_000  # messages before the first reading, so that queues and allocators have their first pages
)
SETTLE_S = 0.2  # a contender's own threads may still be moving the last messages


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(contender, gate, count):
    held = contender.post(gate)
    gate_fd = os.open(gate, os.O_WRONLY)  # returns when `handle` has opened the other end
    warm = [contender.post(1) for _ in range(WARM_COUNT)]
    tickets = [None] * count
    before = resident_bytes()
    for index in range(count):
        tickets[index] = contender.post(1)
    time.sleep(SETTLE_S)
    grown = resident_bytes() - before
    waiting = sum(not ticket.done() for ticket in tickets)
    os.close(gate_fd)
    return {
        "grown_bytes": grown,
        "waiting": waiting,
        "answers": [contender.take(ticket) for ticket in (held, *warm)],
        "expected": [1, *range(3, WARM_COUNT + 3)],  # 0 + 1, then 1 + 2, 1 + 3, ...
    }


def main():
    name, count = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        gate = str(Path(folder) / "gate")
        os.mkfifo(gate)
        with getattr(contenders, name)("Gate") as contender:
            print(json.dumps(measure(contender, gate, int(count))))


if __name__ == "__main__":
    main()
