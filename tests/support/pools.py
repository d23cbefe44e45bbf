"""What tests of pools have in common."""

import os
import threading

import tasks


def occupy(pool, gates, members):
    """Have so many members wait, each at a gate of its own; return gates and futures."""
    held = [gates() for _ in range(members)]
    running = [pool.post((tasks.pause, gate)) for gate in held]
    for gate in held:
        gate.reached()
    return held, running


def where(actor):
    """Tell members apart: by process and thread."""
    return os.getpid(), threading.get_ident()
