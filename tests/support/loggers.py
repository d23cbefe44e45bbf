"""What `actors.Do` is asked to do where logging and tracebacks are tested. `logging` is imported by
each function: a child must not have it before."""

import os
import sys
import threading

import actors
import gates
from futures_actors import ProcessActor


class LogsAndFails(ProcessActor):
    def __init__(self, name):
        log(self, name, "info", "constructed")
        raise KeyError("after the record")


def log(actor, name, level, text, *args):
    import logging

    getattr(logging.getLogger(name), level)(text, *args)


def log_and_pause(actor, name, text, gate):
    log(actor, name, "info", text)
    gate.wait()


def log_when_open(actor, name, gate):
    """Log from a thread, which waits at the gate first."""

    def body():
        gate.wait()
        log(actor, name, "info", "open")

    threading.Thread(target=body).start()


def log_and_exit(actor, name, text):
    log(actor, name, "info", text)
    os._exit(1)


def log_exception(actor, name):
    import logging

    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger(name).exception("caught")


def log_extra(actor, name):
    import enum
    import logging

    number = enum.IntEnum("Number", {"TEN": 10}).TEN
    extra = {"plain": {"a": [1, 2.5, None]}, "odd": Odd(), "number": number}
    logging.getLogger(name).info("more", extra=extra)


class Odd:
    def __repr__(self):
        return "Odd()"


def log_from_threads(actor, name, threads, count):
    def body(number):
        for index in range(count):
            log(actor, name, "info", "%d %d", number, index)

    all_of_them = [threading.Thread(target=body, args=(number,)) for number in range(threads)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()


def level_of(actor, name):
    import logging

    return logging.getLogger(name).level


def configure(actor, path):
    import logging

    logging.basicConfig(filename=path, format="%(levelname)s:%(message)s")


def log_in_child(actor, name):
    """Log from an actor of this one."""
    with actors.ProcessDo.executor() as executor:
        executor.post((log, name, "info", "from a grandchild")).result(gates.PATIENCE)


def log_in_fork(actor, name):
    log(actor, name, "debug", "imports logging")
    pid = os.fork()
    if pid == 0:
        log(actor, name, "info", "from a fork")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def loader_of_logging(actor):
    import logging

    assert logging.__spec__.loader is logging.__loader__
    return type(logging.__loader__).__name__, [type(finder).__name__ for finder in sys.meta_path]


def pause_in_thread(actor, gate):
    thread = threading.Thread(target=gate.wait)
    thread.start()
    thread.join()


def pause_in_c(actor, gate):
    """Wait at a gate without letting go of the interpreter; return how much was read."""
    import ctypes

    descriptor = os.open(f"{gate.path}.open", os.O_RDWR)
    try:
        gate.knock()
        return ctypes.PyDLL(None).read(descriptor, ctypes.create_string_buffer(1), 1)
    finally:
        os.close(descriptor)


def timed_nap(actor, seconds):
    import time

    start = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - start


def caught_signals(actor):
    """Return the numbers of the signals that have a handler in C."""
    from pathlib import Path

    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            mask = int(line.split()[1], 16)
            return {number + 1 for number in range(64) if mask >> number & 1}
    raise AssertionError("no SigCgt")
