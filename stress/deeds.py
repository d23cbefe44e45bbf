"""Functions that actors of the stress suite run, objects that they receive, and async actors."""

import asyncio
import os
import pickle
import time
import weakref

from futures_actors import ProcessActor, ThreadActor, _heartbeat, current_actor

# On a busy machine a process may get no CPU for a second. That is no fault of an event loop's user.
_heartbeat.BLOCKED_AT_LEAST = 60


def remember(actor, thread):
    """Return the id of this process, and how many messages the actor has remembered."""
    actor.log.append(thread)
    return os.getpid(), len(actor.log)


class View:
    """Keeps the memory in which it arrived: if that is a shared block, this refers to the block."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return View, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other):
        return bytes(self.data) == bytes(other.data)

    __hash__ = None


class Waits:
    """Handles messages with awaits between, and writes down what becomes of each.

    A message is its number and how long to wait, again and again: seconds, None for ever.
    """

    def __init__(self, path):
        self.inside = set()
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # `on_stop` is not called for an actor that is ended by force.
        weakref.finalize(self, os.close, self.file)

    async def handle(self, message):
        number, waits = message
        try:
            self.inside.add(number)
            self.write("began", number, len(self.inside))
            for seconds in waits:
                if seconds is None:
                    await asyncio.Event().wait()
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.write("stopped", number)
            raise
        finally:
            self.inside.discard(number)
        self.write("ended", number)
        return number

    def write(self, *what):
        os.write(self.file, (" ".join(map(str, what)) + "\n").encode())


class ThreadWaits(Waits, ThreadActor):
    pass


class ProcessWaits(Waits, ProcessActor):
    pass


class Yields:
    """Streams so many items of so many bytes as a message says; then raises, if it says so."""

    def handle(self, message):
        count, size, fails = message
        for number in range(count):
            yield number, b"x" * size
        if fails:
            raise ValueError("at the end")
        return "returned"


class ThreadYields(Yields, ThreadActor):
    pass


class ProcessYields(Yields, ProcessActor):
    pass


class AsyncYields:
    """The same on an event loop."""

    async def handle(self, message):
        count, size, fails = message
        for number in range(count):
            if number % 3 == 0:
                await asyncio.sleep(0)
            yield number, b"x" * size
        if fails:
            raise ValueError("at the end")


class AsyncThreadYields(AsyncYields, ThreadActor):
    pass


class AsyncProcessYields(AsyncYields, ProcessActor):
    pass


class Member:
    """A member of a pool. A message is its number and how many seconds to wait.

    It writes down the number, its own index and its process before it does anything else.
    """

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND)
        weakref.finalize(self, os.close, self.file)

    def begin(self, number):
        index = current_actor().index
        os.write(self.file, f"{number} {index} {os.getpid()}\n".encode())
        return number, index

    def handle(self, message):
        number, seconds = message
        answer = self.begin(number)
        if seconds:
            time.sleep(seconds)
        return answer


class AsyncMember(Member):
    async def handle(self, message):
        number, seconds = message
        answer = self.begin(number)
        await asyncio.sleep(seconds)
        return answer


class ThreadMember(Member, ThreadActor):
    pass


class ProcessMember(Member, ProcessActor):
    pass


class AsyncThreadMember(AsyncMember, ThreadActor):
    pass


class AsyncProcessMember(AsyncMember, ProcessActor):
    pass
