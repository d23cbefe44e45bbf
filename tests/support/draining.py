"""For programs in which an actor still does something when the interpreter's exit has begun."""

import threading
import time
from pathlib import Path

import actors

_GO = Path("go")
_DRAINS = Path("drains")


def announce():
    """Have `wait` return, here and in child processes, when the exit has looked at the actors."""
    probe = actors.ThreadEcho.executor()
    threading.Thread(target=_announce, args=(probe,)).start()


def _announce(probe):
    while True:
        try:
            probe.post(0)
        except RuntimeError:
            break
        time.sleep(0.001)
    time.sleep(0.1)  # an exit that takes an actor to be at rest now refuses what it sends
    _DRAINS.touch()


def wait():
    _wait_for(_DRAINS)


def hold():
    """Return after `go`."""
    _wait_for(_GO)


def go():
    _GO.touch()


def _wait_for(sign):
    while not sign.exists():
        time.sleep(0.001)
