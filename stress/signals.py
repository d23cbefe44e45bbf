"""Sends SIGKILL, and SIGSTOP with SIGCONT, at random moments.

Every future must end, answers and `started` must always be right, and nothing may be left behind.
"""

import contextlib
import os
import random
import signal
import threading
import time
from concurrent import futures
from pathlib import Path

import actors
import tasks
from futures_actors import ActorDied
from residents import PATIENCE, leaks_since, snapshot

MESSAGES = 300


class Figures:
    def __init__(self):
        self.rounds = self.kills = self.stops = self.answered = self.died = self.begun = 0
        self.restarts = 0

    def __str__(self):
        return (
            f"{self.kills} SIGKILL and {self.stops} SIGSTOP in {self.rounds} rounds: "
            f"{self.answered} right answers, {self.died} ActorDied ({self.begun} had begun), "
            f"{self.restarts} restarts; "
            "lost 0, leaks 0"
        )


def run(folder, *, rounds=400, seed=None):
    """Let an actor record which messages it begins, and end it at a random moment."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"  seed {seed}")
    figures = Figures()
    dice = random.Random(seed)
    with actors.ProcessEcho.executor() as warm:
        warm.post(1).result(PATIENCE)
    before = snapshot()
    for number in range(rounds):
        one_round(figures, dice, Path(folder) / f"begun{number}")
        one_round_with_restarts(figures, dice, Path(folder) / f"again{number}")
    left = leaks_since(before)
    assert not left, left
    return figures


def one_round(figures, dice, begun):
    begun.touch()
    with actors.ProcessDo.executor() as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        sender = threading.Thread(target=disturb, args=(figures, dice, pid))
        sender.start()
        posted = []
        for number in range(MESSAGES):
            try:
                posted.append(executor.post((tasks.append_to, begun, f"{number}\n")))
            except ActorDied:
                break
        _, waiting = futures.wait(posted, PATIENCE)
        sender.join()
        assert not waiting, f"{len(waiting)} of {len(posted)} futures do not end"
        check(figures, posted, begun.read_text().splitlines())
    figures.rounds += 1
    begun.unlink()


def one_round_with_restarts(figures, dice, begun):
    """Kill the process of an actor with restarts: a message may only be lost if it had begun."""
    begun.touch()
    with actors.ProcessDo.options(max_restarts=1000).executor() as executor:
        killer = threading.Thread(target=keep_killing, args=(figures, dice, executor))
        killer.start()
        posted = [executor.post((tasks.append_to, begun, f"{n}\n")) for n in range(MESSAGES)]
        _, waiting = futures.wait(posted, PATIENCE)
        killer.join()
        assert not waiting, f"{len(waiting)} of {len(posted)} futures do not end"
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"
        restarts = executor.stats().restarts
    written = [int(line) for line in begun.read_text().splitlines()]
    assert written == sorted(set(written)), "twice, or out of order"
    for number, future in enumerate(posted):
        error = future.exception()
        if error is None:
            assert number in written, f"{number} is answered and was never begun"
            figures.answered += 1
        else:
            assert isinstance(error, ActorDied), error
            assert error.started, f"{number} had not begun, and is not tried again"
            figures.died += 1
            figures.begun += 1
    assert sum(future.exception() is not None for future in posted) <= restarts
    figures.restarts += restarts
    begun.unlink()


def keep_killing(figures, dice, executor):
    for _ in range(dice.randrange(1, 6)):
        time.sleep(dice.random() * 0.01)
        pid = executor.stats().pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                figures.kills += 1


def disturb(figures, dice, pid):
    time.sleep(dice.random() * 0.012)
    if dice.random() < 0.4:
        os.kill(pid, signal.SIGSTOP)
        figures.stops += 1
        time.sleep(dice.random() * 0.01)
        os.kill(pid, dice.choice([signal.SIGCONT, signal.SIGKILL]))
        time.sleep(dice.random() * 0.01)
    try:
        os.kill(pid, signal.SIGKILL)
        figures.kills += 1
    except ProcessLookupError:
        pass


def check(figures, posted, begun):
    """Compare each future with the actor's record of begun messages."""
    begun = {int(line) for line in begun if line}
    for number, future in enumerate(posted):
        error = future.exception()
        if error is None:
            assert number in begun, f"{number} is answered and was never begun"
            figures.answered += 1
            continue
        assert isinstance(error, ActorDied), error
        assert error.exitcode == -signal.SIGKILL, error
        # A message that has begun may not be recorded yet, but a recorded one has certainly begun.
        assert error.started or number not in begun, f"{number} had begun"
        figures.died += 1
        figures.begun += error.started
    assert (
        sum(future.exception() is not None and future.exception().started for future in posted) <= 1
    )
