"""Messages to `actors.Do` whose functions yield, and what tests of streams wait for."""

import itertools
import os
import threading
import time

import futures_actors
from gates import PATIENCE


def numbers(actor, count, answer=None):
    yield from range(count)
    return answer


def endless(actor, path=None):
    """Yield for ever; write down how far it has come, and that it has ended."""
    try:
        for number in itertools.count():
            if path is not None:
                note(path, number)
            yield number
    finally:
        if path is not None:
            note(path, "ended")


def note(path, what):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{what}\n".encode())
    os.close(descriptor)


def lines(path):
    return path.read_text().split() if path.exists() else []


def fails(actor, count):
    yield from range(count)
    raise ValueError("at the end")


def waits(actor, gate):
    yield "first"
    gate.wait()
    yield "second"


def where(actor):
    yield threading.get_ident(), os.getpid()


def ignores_the_end(actor, path):
    while True:
        try:
            yield 1
        except GeneratorExit:
            note(path, "ignored")


def returns_when_closed(actor):
    try:
        yield 1
        yield 2
    except GeneratorExit:
        return "partial"


def raises_when_closed(actor):
    try:
        while True:
            yield 1
    finally:
        raise ValueError("cleaning up failed")


def asks(actor, gate):
    message = futures_actors.current_message()
    yield message.cancel_requested
    gate.wait()
    yield message.cancel_requested


def a_list(actor):
    return [1, 2]


def an_iterator(actor):
    return iter([1, 2, 3])


async def a_coroutine(actor):
    return 1


async def an_async_generator(actor):
    yield 1


def settled(read):
    """Return what `read` returns once it has not changed for a while."""
    before = None
    deadline = time.monotonic() + PATIENCE
    while (now := read()) != before:
        assert time.monotonic() < deadline
        before = now
        time.sleep(0.2)
    return now
