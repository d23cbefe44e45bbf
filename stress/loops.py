"""Random histories of async actors: messages that await, cancels, requests to stop, ends by force.

The actor writes down which messages begin, and how they end. Every future must end, and as that
record says. Messages must begin in the order in which they were posted, each once, and no more at a
time than the actor may have. Nothing may be left behind.
"""

import contextlib
import os
import random
import signal
import time
from collections import defaultdict
from concurrent import futures
from pathlib import Path

import deeds
from futures_actors import ActorDied, BrokenActor
from residents import PATIENCE, leaks_since, snapshot


class Figures:
    def __init__(self):
        self.rounds = self.answered = self.cancelled = self.stopped = self.died = 0
        self.interrupted = self.kills = self.restarts = 0

    def __str__(self):
        return (
            f"{self.rounds} histories of async actors: {self.answered} right answers, "
            f"{self.cancelled} cancelled, {self.stopped} stopped at an await, "
            f"{self.interrupted} by Ctrl-C, {self.died} ended with their actor; {self.kills} "
            f"SIGKILL, {self.restarts} restarts; lost 0, leaks 0"
        )


def run(folder, *, rounds=300, seed=None):
    seed = random.randrange(2**32) if seed is None else seed
    print(f"  seed {seed}")
    figures = Figures()
    dice = random.Random(seed)
    for cls in (deeds.ThreadWaits, deeds.ProcessWaits):
        with cls.executor(str(Path(folder) / "warm")) as warm:
            warm.post((0, [0])).result(PATIENCE)
    before = snapshot()
    for number in range(rounds):
        History(figures, dice, Path(folder) / f"said{number}").run()
    left = leaks_since(before)
    assert not left, left
    return figures


class History:
    """One actor, what was done to it, and what it has said."""

    def __init__(self, figures, dice, path):
        self.figures, self.dice, self.path = figures, dice, path
        self.is_process = dice.random() < 0.7
        self.most = dice.choice([1, 1, 2, 5, 50])
        self.restarts = self.is_process and dice.random() < 0.8
        options = {"max_concurrency": self.most}
        if self.restarts:
            options["max_restarts"] = 1000
        cls = deeds.ProcessWaits if self.is_process else deeds.ThreadWaits
        path.touch()
        self.executor = cls.options(**options).executor(str(path))
        self.posted, self.cancelled, self.asked = [], set(), set()
        self.posted.append(self.executor.post((0, [])))
        self.posted[0].result(PATIENCE)
        self.is_killed = self.is_interrupted = False

    def run(self):
        choices = [self.post] * 6 + [self.cancel] * 2 + [self.ask] * 3 + [self.rest] * 4
        choices += [self.look, self.interrupt, self.interrupt, self.kill]
        for _ in range(self.dice.randrange(5, 60)):
            self.dice.choice(choices)()
        self.end()
        _, waiting = futures.wait(self.posted, PATIENCE)
        assert not waiting, f"{len(waiting)} of {len(self.posted)} futures do not end"
        self.executor.shutdown()
        self.check()
        self.path.unlink()

    def post(self):
        for _ in range(self.dice.randrange(1, 12)):
            waits = [self.dice.choice([0, 0, 0.001]) for _ in range(self.dice.randrange(4))]
            if self.dice.random() < 0.1:
                waits.append(None)
            try:
                self.posted.append(self.executor.post((len(self.posted), waits)))
            except BrokenActor:
                assert self.is_killed
                return

    def some(self):
        count = min(len(self.posted), self.dice.randrange(1, 6))
        return self.dice.sample(range(len(self.posted)), count)

    def cancel(self):
        for number in self.some():
            if self.posted[number].cancel():
                self.cancelled.add(number)

    def ask(self):
        for number in self.some():
            if self.posted[number].request_cancel():
                self.asked.add(number)

    def rest(self):
        time.sleep(self.dice.random() * 0.004)

    def look(self):
        stats = self.executor.stats()
        assert 0 <= (stats.running or 0) <= self.most, stats

    def signal(self, pid, number):
        if self.is_process and pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                return True
        return False

    def interrupt(self):
        # A process that starts has no handler of its own yet. So the pid is read first: what runs
        # then runs in that process, or in one that has died since.
        pid = self.executor.stats().pid
        if self.is_process and any(future.running() for future in self.posted):
            self.is_interrupted = True
            for _ in range(self.dice.choice([1, 1, 1, 2, 3])):
                self.signal(pid, signal.SIGINT)

    def kill(self):
        if self.dice.random() < 0.3:
            self.is_killed |= self.is_process
            self.figures.kills += self.signal(self.executor.stats().pid, signal.SIGKILL)

    def end(self):
        """Have every message end."""
        if self.dice.random() < 0.1:
            self.is_killed = True
            self.executor.terminate()
            return
        for number, future in enumerate(self.posted):
            if future.request_cancel():
                self.asked.add(number)

    def check(self):
        said = defaultdict(list)
        for line in self.path.read_text().splitlines():
            what, number, *inside = map(str, line.split())
            said[what].append(int(number))
            assert not inside or int(inside[0]) <= self.most, f"{inside} at a time"
        began = said["began"]
        assert began == sorted(set(began)), "twice, or out of order"
        for number, future in enumerate(self.posted):
            self.check_one(number, future, {what: number in said[what] for what in said})
        stats = self.executor.stats()
        counted = stats.handled + stats.failed + stats.cancelled
        assert counted == len(self.posted), (len(self.posted), stats)
        assert (stats.depth, stats.running or 0) == (0, 0), stats
        self.figures.restarts += stats.restarts
        self.figures.rounds += 1

    def check_one(self, number, future, said):
        figures = self.figures
        if number in self.cancelled:
            assert future.cancelled(), "cancel() was True"
            assert not said.get("began"), "it was cancelled and has begun"
            figures.cancelled += 1
        elif future.cancelled():
            assert number in self.asked, "nobody has asked for that"
            # One that was asked before its first step has written nothing.
            assert said.get("began", False) == said.get("stopped", False), said
            figures.stopped += said.get("began", False)
        elif (error := future.exception()) is None:
            assert future.result() == number
            assert said.get("ended"), "it has an answer and has not ended"
            figures.answered += 1
        elif isinstance(error, KeyboardInterrupt):
            assert self.is_interrupted
            figures.interrupted += 1
        else:
            assert isinstance(error, BrokenActor), error
            assert self.is_killed, error
            figures.died += 1
            if isinstance(error, ActorDied):
                assert error.started or not said.get("began"), "it had begun"
