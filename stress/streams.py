"""Random histories of streams: items taken, streams closed and dropped, actors killed.

Each stream is compared with the list of what its generator yields: items must come in that order,
each once, then what it raised, once, then the end. Nothing may be left behind.
"""

import asyncio
import contextlib
import os
import random
import signal
import threading
from concurrent import futures

import deeds
from futures_actors import ActorDied, BrokenActor
from residents import PATIENCE, leaks_since, snapshot

KINDS = [deeds.ThreadYields, deeds.ProcessYields, deeds.AsyncThreadYields, deeds.AsyncProcessYields]


class Figures:
    def __init__(self):
        self.rounds = self.streams = self.items = self.closed = self.died = self.kills = 0

    def __str__(self):
        return (
            f"{self.rounds} histories of {self.streams} streams: {self.items} items as in their "
            f"lists, {self.closed} closed early, {self.died} ended with their actor by "
            f"{self.kills} SIGKILL; lost 0, leaks 0"
        )


def run(*, rounds=300, seed=None):
    seed = random.randrange(2**32) if seed is None else seed
    print(f"  seed {seed}")
    figures = Figures()
    dice = random.Random(seed)
    for cls in KINDS:
        with cls.executor() as warm:
            assert len(list(warm.stream((3, 100_000, False)))) == 3
    before = snapshot()
    for _ in range(rounds):
        one_round(figures, dice)
    left = leaks_since(before)
    assert not left, left
    return figures


def one_round(figures, dice):
    cls = dice.choice(KINDS)
    options = {"max_concurrency": 3} if issubclass(cls, deeds.AsyncYields) else {}
    is_process = issubclass(cls, deeds.ProcessActor)
    if is_process:
        options["max_restarts"] = 1000
    with cls.options(**options).executor() as executor:
        for _ in range(dice.randrange(1, 8)):
            one = Stream(figures, dice, executor)
            kills = is_process and dice.random() < 0.2
            take = dice.choice([one.take, one.take, one.take_by_two, one.take_in_loop])
            killer = threading.Thread(target=kill, args=(figures, executor)) if kills else None
            if killer is not None:
                one.may_die = True
                killer.start()
            take()
            if killer is not None:
                killer.join()
            one.end()
    figures.rounds += 1


def kill(figures, executor):
    pid = executor.stats().pid
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            figures.kills += 1


class Stream:
    """A stream, and what is known of it."""

    def __init__(self, figures, dice, executor):
        self.figures, self.dice = figures, dice
        self.count = dice.choice([0, 1, 2, 5, 40, 200])
        self.size = dice.choice([0, 0, 10, 20_000, 300_000])
        self.fails = dice.random() < 0.3
        self.may_die = self.is_asked = False
        #: How many items are to be taken before it is closed.
        self.most = dice.choice([0, 1, 3, 1000, 1000])
        ahead = dice.choice([1, 2, 16, 1000])
        self.stream = executor.stream((self.count, self.size, self.fails), ahead=ahead)
        figures.streams += 1

    def take(self):
        taken, ended = [], None
        while ended is None and len(taken) < self.most:
            try:
                taken.append(self.stream.next(PATIENCE))
            except (StopIteration, ValueError, ActorDied) as error:
                ended = error
        self.check(taken, ended)

    def take_by_two(self):
        """Two threads share the items: each has some, in order."""
        self.most = 1000
        shares, ends = ([], []), []

        def body(share):
            try:
                share.extend(iter(self.stream))
                ends.append(StopIteration())
            except (ValueError, ActorDied) as error:
                ends.append(error)

        threads = [threading.Thread(target=body, args=(share,)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a taker hangs"
        for share in shares:
            assert share == sorted(share), "out of order"
        raised = [error for error in ends if not isinstance(error, StopIteration)]
        assert len(raised) <= 1, "raised twice"
        self.check(sorted(shares[0] + shares[1]), (raised or [StopIteration()])[0])

    def take_in_loop(self):
        taken, ended = [], []

        async def main():
            try:
                async for item in self.stream:
                    taken.append(item)
                    if len(taken) >= self.most:
                        return
            except (ValueError, ActorDied) as error:
                ended.append(error)
            else:
                ended.append(StopIteration())

        asyncio.run(asyncio.wait_for(main(), PATIENCE))
        self.check(taken, ended[0] if ended else None)

    def check(self, taken, ended):
        """`ended`: what came instead of the next item, if something did."""
        self.figures.items += len(taken)
        wanted = [(number, b"x" * self.size) for number in range(self.count)]
        assert taken == wanted[: len(taken)], "other items, or another order"
        if ended is None:
            return
        assert list(self.stream) == [], "items after the end"
        if isinstance(ended, ActorDied):
            assert self.may_die, ended
            self.figures.died += 1
            return
        assert len(taken) == self.count, "items are lost"
        assert isinstance(ended, ValueError) == self.fails, ended

    def end(self):
        """Close it in one of the ways; then it has no items, and its future ends."""
        future = self.stream.future
        how = self.dice.choice(["close", "drop", "request_cancel", "with"])
        if how == "close":
            self.stream.close()
        elif how == "request_cancel":
            # One that has ended keeps its items.
            self.is_asked = future.request_cancel()
        elif how == "with":
            with self.stream:
                pass
        if how in ("close", "with") or self.is_asked:
            assert list(self.stream) == []
        self.stream = None
        _, waiting = futures.wait([future], PATIENCE)
        assert not waiting, "the generator does not end"
        self.figures.closed += future.cancelled()
        if not future.cancelled():
            error = future.exception()
            assert error is None or isinstance(error, (ValueError, BrokenActor)), error
            assert self.may_die or not isinstance(error, BrokenActor), error
