"""Actors that stream, answer without state, or are async, and the jobs that they share with others.

Children import it, so it may add nothing else. `actors.py` is apart from it, because that one must
also run on older versions of the package.
"""

import time

from futures_actors import ProcessActor, ThreadActor


class Adder:
    """Keeps no state, so that it does not matter which member of a pool has a message."""

    def handle(self, message):
        return message + 1


class Napping:
    """Takes as many microseconds as the message says, and answers how many nanoseconds it took."""

    def handle(self, message):
        return nap(message)


class Counting:
    """Yields as many integers as the message says."""

    def handle(self, message):
        yield from range(message)


class AsyncAdder:
    async def handle(self, message):
        return message + 1


class AsyncSleeper:
    """Sleeps for so many seconds, and answers with them."""

    async def handle(self, message):
        return await sleep_async(message)


class LoopAdder:
    """What one writes without async actors: a loop that runs inside a plain handle."""

    def __init__(self):
        import asyncio

        self.loop = asyncio.new_event_loop()

    async def _add(self, message):
        return message + 1

    def handle(self, message):
        return self.loop.run_until_complete(self._add(message))


class ThreadAdder(Adder, ThreadActor):
    pass


class ProcessAdder(Adder, ProcessActor):
    pass


class ThreadNapping(Napping, ThreadActor):
    pass


class ProcessNapping(Napping, ProcessActor):
    pass


class ThreadCounting(Counting, ThreadActor):
    pass


class ProcessCounting(Counting, ProcessActor):
    pass


class ThreadAsyncAdder(AsyncAdder, ThreadActor, max_concurrency=64):
    pass


class ProcessAsyncAdder(AsyncAdder, ProcessActor, max_concurrency=64):
    pass


class ThreadAsyncSleeper(AsyncSleeper, ThreadActor, max_concurrency=1_000):
    pass


class ProcessAsyncSleeper(AsyncSleeper, ProcessActor, max_concurrency=1_000):
    pass


class ProcessLoopAdder(LoopAdder, ProcessActor):
    pass


def add(message):
    return message + 1


def nap(microseconds):
    start = time.perf_counter_ns()
    time.sleep(microseconds / 1e6)
    return time.perf_counter_ns() - start


async def add_async(message):
    return message + 1


async def sleep_async(message):
    import asyncio

    await asyncio.sleep(message)
    return message


def same(item):
    return item


def send_all(connection):
    """For each number that comes, send so many integers: a stream by hand, without flow control."""
    try:
        while True:
            for item in range(connection.recv()):
                connection.send(item)
    except EOFError:
        return
