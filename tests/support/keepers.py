"""Actors that yield numbers for ever, and actors that keep such a stream from one message to the
next."""

import itertools
import time

import draining
from futures_actors import ProcessActor, ThreadActor


def say(text):
    # One write, because the actors of several processes say something at a time.
    print(f"{text}\n", end="", flush=True)


def ticks(actor):
    try:
        for number in itertools.count():
            time.sleep(0.01)
            yield number
    finally:
        say("ended")


class Yields:
    """A message is an actor that the generator tells something at its end, or None."""

    def handle(self, log):
        try:
            yield from itertools.count()
        finally:
            self.end(log)

    def end(self, log):
        say("ended")
        if log is not None:
            log.tell("told")


class AsyncYields(Yields):
    async def handle(self, log):
        try:
            for number in itertools.count():
                yield number
        finally:
            self.end(log)


class Keeps:
    """A message says how many items to take, always from the same stream."""

    def __init__(self, yields, log=None):
        self.yields, self.log, self.stream = yields, log, None

    def open(self):
        if self.stream is None:
            self.stream = self.yields.stream(self.log, ahead=2)
        return self.stream

    def handle(self, count):
        stream = self.open()
        say([next(stream) for _ in range(count)])


class AsyncKeeps(Keeps):
    async def handle(self, count):
        stream = self.open()
        say([await anext(stream) for _ in range(count)])


class ThreadYields(Yields, ThreadActor):
    pass


class ProcessYields(Yields, ProcessActor):
    pass


class AsyncThreadYields(AsyncYields, ThreadActor):
    pass


class AsyncProcessYields(AsyncYields, ProcessActor):
    pass


class ThreadKeeps(Keeps, ThreadActor):
    pass


class ProcessKeeps(Keeps, ProcessActor):
    pass


class AsyncThreadKeeps(AsyncKeeps, ThreadActor):
    pass


class AsyncProcessKeeps(AsyncKeeps, ProcessActor):
    pass


class Log(ThreadActor):
    def handle(self, text):
        say(text)


class PassesOn(ThreadActor):
    """Passes a message on when the exit has begun and has found all other actors at rest."""

    def __init__(self, to, **options):
        self.to, self.options = to, options

    def handle(self, message):
        draining.wait()
        self.to.post(message, **self.options)


class Asks:
    """Waits for what another actor answers."""

    def __init__(self, other):
        self.other = other

    def handle(self, message):
        say(self.other.submit(str, message).result())


class AsyncAsks(Asks):
    async def handle(self, message):
        say(await self.other.submit(str, message))


class ThreadAsks(Asks, ThreadActor):
    pass


class ProcessAsks(Asks, ProcessActor):
    pass


class AsyncThreadAsks(AsyncAsks, ThreadActor):
    pass
