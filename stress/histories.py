"""What parts share whose histories have a seed each: seeds, threads and signals."""

import os
import random
import signal
import threading
import time


def seeds(rounds, seed=None):
    """Return the seeds of so many histories, and print the one that makes them."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"  seed {seed}")
    dice = random.Random(seed)
    return [dice.randrange(2**32) for _ in range(rounds)]


def run_threads(works, deadline):
    """Run functions with their arguments, each in a thread, and raise what the first has raised."""
    failures = []

    def body(work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=body, args=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads), "a thread of the program hangs"


def disturb(figures, pid, stops_for):
    """Send SIGKILL to a process, or stop it for so many seconds. It may have ended."""
    if stops_for is None:
        figures["kills"] += _signal(pid, signal.SIGKILL)
    elif _signal(pid, signal.SIGSTOP):
        figures["stops"] += 1
        time.sleep(stops_for)
        _signal(pid, signal.SIGCONT)


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
