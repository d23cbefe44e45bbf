"""The contenders of streams, pools and async actors, with the methods that `contenders.py` says.

Those of streams have `items(count)`: an iterator over so many integers that another thread or
process makes.
"""

import asyncio
import functools
import itertools
import multiprocessing
import queue
import threading
from concurrent import futures

from contenders import ActorContender, Contender, NotYetError, Pooled


class SystemActor(ActorContender):
    """One actor of `system_actors.py`."""

    def __init__(self, kind, job, label=None):
        super().__init__(job, label)
        self.kind = kind

    def starter(self):
        try:
            import system_actors
        except (ImportError, TypeError) as error:
            raise NotYetError(str(error)) from error
        return getattr(system_actors, self.kind + self.job)


class ActorPool(SystemActor):
    """A pool of actors without state."""

    def __init__(self, kind, size, job="Adder"):
        super().__init__(kind, job, f"futures_actors pool({size})")
        self.size = size

    def open(self):
        self.executor = self.starter().pool(self.size).executor()
        self.post = self.executor.post


class RoundRobin(SystemActor):
    """Actors that get the messages in turn: what one writes without a pool."""

    def __init__(self, kind, size, job):
        super().__init__(kind, job, f"round robin over {size} actors")
        self.size = size

    def open(self):
        self.executors = [self.starter().executor() for _ in range(self.size)]
        turns = itertools.cycle(self.executors)
        self.post = lambda message: next(turns).post(message)

    def close(self):
        for executor in self.executors:
            executor.shutdown()


class StandardPool(Pooled):
    """A pool of the standard library, with the same function."""

    def __init__(self, size, *, processes, function="add"):
        kind = "ProcessPoolExecutor" if processes else "ThreadPoolExecutor"
        super().__init__(label=f"{kind}({size})")
        self.size, self.processes, self.function = size, processes, function

    def open(self):
        import system_actors

        if self.processes:
            context = multiprocessing.get_context("spawn")
            self.executor = futures.ProcessPoolExecutor(self.size, mp_context=context)
        else:
            self.executor = futures.ThreadPoolExecutor(self.size)
        function = getattr(system_actors, self.function)
        self.post = functools.partial(self.executor.submit, function)


class LoopThread(Contender):
    """A coroutine in an event loop of another thread, by `run_coroutine_threadsafe`."""

    name = "run_coroutine_threadsafe"
    take = Pooled.take

    def __init__(self, function="add_async"):
        super().__init__()
        self.function = function

    def open(self):
        import system_actors

        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        function, loop = getattr(system_actors, self.function), self.loop
        self.post = lambda message: asyncio.run_coroutine_threadsafe(function(message), loop)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Stream(SystemActor):
    """A stream of an actor."""

    def __init__(self, kind, ahead):
        super().__init__(kind, "Counting", f"futures_actors ahead={ahead}")
        self.ahead = ahead

    def items(self, count):
        return self.executor.stream(count, ahead=self.ahead)


class PipeFlow(Contender):
    name = "multiprocessing.Pipe"

    def open(self):
        import system_actors

        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        send_all = system_actors.send_all
        self.process = context.Process(target=send_all, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def items(self, count):
        self.connection.send(count)
        for _ in range(count):
            yield self.connection.recv()

    def close(self):
        self.connection.close()
        self.process.join()


class PoolImap(Contender):
    name = "multiprocessing.Pool.imap"

    def open(self):
        self.pool = multiprocessing.get_context("spawn").Pool(1)

    def items(self, count):
        import system_actors

        return self.pool.imap(system_actors.same, range(count))

    def close(self):
        self.pool.terminate()
        self.pool.join()


class QueueFlow(Contender):
    """A thread for each stream, and a bounded queue."""

    name = "queue.Queue(16)"

    def open(self):
        pass

    def items(self, count):
        between = queue.Queue(16)

        def put():
            for item in range(count):
                between.put(item)

        thread = threading.Thread(target=put)
        thread.start()
        for _ in range(count):
            yield between.get()
        thread.join()

    def close(self):
        pass
