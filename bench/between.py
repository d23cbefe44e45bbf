"""The contenders in which one actor asks another: `open` and `close` as in `contenders.py`.

`ask(pattern, size)` lets the first one send so many integers to the second one and returns the
answers. `send(length_bytes, size)` does the same with an array.
"""

import functools
import multiprocessing
import operator
from concurrent import futures

import patterns
import work
from contenders import Contender


class Between(Contender):
    """Two actors of one kind, of which the first has a reference to the second."""

    name = "futures_actors"

    def __init__(self, kind, job="Adder"):
        super().__init__(job)
        self.kind = kind

    def open(self):
        import askers

        self.answerer = askers.ACTORS[self.kind + self.job].executor()
        self.asker = askers.ACTORS[self.kind + "Asker"].executor(self.answerer)
        self.calls = self.asker.proxy()

    def shares_cpu(self):
        return self.asker.submit(work.cpu).result() == self.answerer.submit(work.cpu).result()

    def ask(self, pattern, size):
        return self.calls.ask(pattern, size).result()

    def send(self, length_bytes, size):
        return self.calls.send(length_bytes, size).result()

    def close(self):
        self.asker.shutdown()
        self.answerer.shutdown()


class FromMain(Contender):
    """The main program sends arrays to a process actor itself, in place of another actor."""

    name = "the main program to the actor"

    def open(self):
        import askers

        self.answerer = askers.ACTORS["Process" + self.job].executor()
        self.send = askers.Asker(self.answerer).send

    def close(self):
        self.answerer.shutdown()


class PipeBetween(Contender):
    name = "multiprocessing.Pipe between two children"

    def open(self):
        import askers

        context = multiprocessing.get_context("spawn")
        self.orders, orders = context.Pipe()
        ends = context.Pipe()
        self.processes = (
            context.Process(target=askers.ask_by_pipe, args=(orders, ends[0]), daemon=True),
            context.Process(target=askers.answer_by_pipe, args=ends[1:], daemon=True),
        )
        for process in self.processes:
            process.start()
        for end in (orders, *ends):
            end.close()

    def ask(self, pattern, size):
        self.orders.send((pattern, size))
        return self.orders.recv()

    def close(self):
        self.orders.close()
        for process in self.processes:
            process.join()


class PoolToPool(Contender):
    """A function in one pool that submits to another."""

    name = "ThreadPoolExecutor to another"

    def open(self):
        import system_actors

        self.pools = futures.ThreadPoolExecutor(1), futures.ThreadPoolExecutor(1)
        self.post = functools.partial(self.pools[1].submit, system_actors.add)

    def ask(self, pattern, size):
        take, pattern = operator.methodcaller("result"), getattr(patterns, pattern)
        return self.pools[0].submit(pattern, self.post, take, range(size)).result()

    def close(self):
        for pool in self.pools:
            pool.shutdown()
