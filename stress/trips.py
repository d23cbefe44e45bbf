"""Sends messages to and fro one by one, in several processes that share one processor.

The waiting thread and the I/O thread may be interrupted between any two steps, but neither may wait
for an answer that the other has read. The waiting thread is not the main thread, because only the
answer ever wakes it.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import actors
import tasks
from residents import PATIENCE

PROCESSES = 3


class Figures:
    def __init__(self, trips):
        self.trips = trips

    def __str__(self):
        return f"{self.trips} trips in {PROCESSES} processes on one processor; lost 0, leaks 0"


def run(*, seconds):
    processor = str(min(os.sched_getaffinity(0)))
    command = [sys.executable, __file__, str(seconds), processor]
    paths = [str(Path(actors.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(PROCESSES)
    ]
    trips = 0
    for process in started:
        output, _ = process.communicate()
        assert process.returncode == 0, output or "an answer was not heard of"
        trips += int(output)
    return Figures(trips)


def travel(seconds):
    """Return the number of trips, or None if one did not end.

    The process may take longer than its trips: the machine may be busy, or valgrind may run it.
    """
    trips = 0

    def body():
        nonlocal trips
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert executor.post((tasks.echo, trips)).result() == trips
            trips += 1

    with actors.ProcessDo.executor() as executor:
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join(seconds + PATIENCE)
        if thread.is_alive():
            executor.kill()
            return None
    return trips


def main():
    seconds, processor = float(sys.argv[1]), int(sys.argv[2])
    os.sched_setaffinity(0, {processor})
    trips = travel(seconds)
    if trips is None:
        sys.exit(1)
    print(trips)


if __name__ == "__main__":
    main()
