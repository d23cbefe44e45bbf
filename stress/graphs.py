"""Random graphs of actors that refer to each other, while their processes are killed and stopped.

Two to six actors, threads and processes, plain and async, get references by constructors, messages
and answers. They and the program's threads post, tell, stream, cancel, ask and wait, as scripts
say. All write down what they do, and `accounts.py` compares that with what may be. A history's seed
makes its scripts: `python stress/graphs.py SEED` runs them again.
"""

import logging
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent import futures
from pathlib import Path

import futures_actors
import histories
import nodes
from accounts import Account
from futures_actors import BrokenActor
from nodes import Message
from residents import PATIENCE, leaks_since, snapshot

KINDS = [
    nodes.ThreadNode,
    nodes.ProcessNode,
    nodes.ProcessNode,
    nodes.AsyncThreadNode,
    nodes.AsyncProcessNode,
    nodes.AsyncProcessNode,
]
#: In a history with circles, what finds no circle waits for so many seconds.
SHORTLY = 0.3


class Figures(Counter):
    def __str__(self):
        return (
            f"{self['histories']} histories of {self['actors']} actors: {self['sends']} messages, "
            f"of which {self['futures']} with a future: {self['answered']} right answers, "
            f"{self['cancelled']} cancelled, {self['failed']} failed; {self['refused']} refused, "
            f"{self['circles']} waits in a circle; {self['pairs']} pairs in causal order; "
            f"{self['kills']} SIGKILL, {self['stops']} SIGSTOP, {self['restarts']} restarts; "
            "lost 0, leaks 0"
        )


def run(folder, *, rounds=300, seed=None):
    return run_all(folder, histories.seeds(rounds, seed))


def run_all(folder, seeds):
    figures = Figures()
    path = Path(folder) / "history"
    path.touch()
    for method in methods():
        for cls in set(KINDS):
            options = {"start_method": method} if issubclass(cls, nodes.ProcessActor) else {}
            with cls.options(**options).executor(path, 0, {}) as warm:
                assert warm.post(None).result(PATIENCE) == (0, [])
    before = snapshot()
    for seed in seeds:
        path.write_text("")
        history = History(figures, seed, path)
        try:
            history.run()
            left = leaks_since(before)
            assert not left, left
        except BaseException:
            print(f"  the history of seed {seed} fails ({path}): {history.plan}", flush=True)
            print("\n".join(history.look_inside()))
            for executor in history.executors:
                executor.kill()
            raise
    return figures


def methods():
    """Return the start methods; under valgrind only one works."""
    default = futures_actors.get_start_method()
    return ["spawn"] if default == "spawn" else [default, "spawn"]


class Plan:
    """What a seed makes: actors, scripts of the program's threads, and signals.

    Half of the histories have no circle: actors send only to those after them, unless nobody waits
    for that. Then no wait may end in an `ActorDeadlock`.
    """

    def __init__(self, seed):
        self.dice = dice = random.Random(seed)
        self.has_circles = dice.random() < 0.5
        self.actors = [self.actor(index) for index in range(dice.randrange(2, 7))]
        self.left = dice.choice([20, 60, 150])
        self.messages, self.streams = {}, set()
        self.scripts = [self.script(None, 0) for _ in range(dice.randrange(1, 4))]
        processes = [i for i, (cls, _) in enumerate(self.actors) if self.is_process(cls)]
        self.signals = []
        if processes and dice.random() < 0.8:
            self.signals = [self.signal(processes) for _ in range(dice.randrange(1, 12))]

    def __str__(self):
        actors = ", ".join(f"{cls.__name__} {options}" for cls, options in self.actors)
        return f"circles {self.has_circles}; {actors}; signals {self.signals}"

    def is_process(self, cls):
        return issubclass(cls, nodes.ProcessActor)

    def actor(self, index):
        dice = self.dice
        cls = dice.choice(KINDS)
        options = {"name": f"n{index}", "mailbox_size": dice.choice([None, None, None, 1, 4])}
        if issubclass(cls, nodes.Awaits):
            # A circle through an actor that has a free place is not found.
            options["max_concurrency"] = 1 if self.has_circles else dice.choice([1, 2, 8])
        if self.is_process(cls):
            options["max_restarts"] = dice.choice([0, 2, 1000])
            options["start_method"] = dice.choice([*methods()[:1] * 5, methods()[-1]])
        return cls, options

    def signal(self, processes):
        dice = self.dice
        stops_for = dice.choice([None, None, None, 0, 0.01, 0.05, 0.2])
        return dice.random() ** 2 * 0.05, dice.choice(processes), stops_for

    def may_wait(self, source, target):
        return source is None or self.has_circles or target > source

    def may_send(self, source, target):
        bound = self.actors[target][1]["mailbox_size"]
        return bound is None or self.may_wait(source, target)

    def script(self, source, depth):
        """Return a script for an actor, or for a thread of the program if `source` is None."""
        dice = self.dice
        count = dice.randrange(10, 40) if source is None else dice.choice([0, 0, 1, 2, 4, 7])
        steps, posted = [], []
        kinds = ["post"] * 5 + ["tell"] * 2 + ["hear"] * 3
        kinds += ["stream", "cancel", "ask", "rest", "triangle"]
        for _ in range(count):
            kind = dice.choice(kinds)
            if kind == "rest":
                steps.append(("rest", dice.choice([0, 0.0005, 0.003])))
            elif kind in ("cancel", "ask", "hear"):
                able = [one for one in posted if kind != "hear" or self.may_wait(source, one[1])]
                if able:
                    steps.append((kind, dice.choice(able)[0]))
            elif kind == "triangle":
                steps += self.triangle(source)
            elif self.left > 0 and depth < 5:
                target = dice.randrange(len(self.actors))
                if kind == "stream" and self.may_wait(source, target):
                    steps.append(self.stream(target))
                elif kind != "stream" and self.may_send(source, target):
                    step = self.sending(kind, source, target, self.script(target, depth + 1))
                    steps.append(step)
                    if kind == "post":
                        posted.append((step[1].number, target))
        return tuple(steps)

    def triangle(self, source):
        """Send something to one actor, and let another send to it, too, because of that."""
        dice = self.dice
        end, middle = (dice.randrange(len(self.actors)) for _ in range(2))
        ways = [(source, end), (source, middle), (middle, end)]
        if not all(self.may_send(*way) for way in ways):
            return []
        first = self.sending(dice.choice(["post", "tell"]), source, end, ())
        last = self.sending(dice.choice(["post", "tell"]), middle, end, ())
        return [first, self.sending(dice.choice(["post", "tell"]), source, middle, (last,))]

    def message(self, target, script, **more):
        self.left -= 1
        inner = [step[1] for step in script if isinstance(step[1], Message)]
        introduces = self.dice.choice([None, None, self.dice.randrange(len(self.actors))])
        needs = {introduces} - {None}
        needs = needs.union(*({one.target, *one.needs} for one in inner))
        number = len(self.messages)
        obeys = self.dice.random() < 0.5
        self.messages[number] = made = Message(
            number, target, script, frozenset(needs), introduces, obeys=obeys, **more
        )
        return made

    def sending(self, kind, source, target, script):
        dice = self.dice
        message = self.message(target, script)
        timeout = dice.choice([None, None, None, 0, 0.01])
        awaits = source is not None and issubclass(self.actors[source][0], nodes.Awaits)
        # A `tell` that waits for room blocks the loop, and with it an `atell` that has got room.
        is_bound = self.actors[target][1]["mailbox_size"] is not None
        awaits = awaits and (dice.random() < 0.4 or (kind == "tell" and is_bound))
        if awaits:
            timeout = SHORTLY if self.has_circles else None
        return kind, message, timeout, awaits

    def stream(self, target):
        dice = self.dice
        message = self.message(target, (), items=dice.choice([0, 1, 5, 40]))
        self.streams.add(message.number)
        most, ahead = dice.choice([0, 1, 3, 1000, 1000]), dice.choice([1, 2, 16])
        return "stream", message, most, ahead, SHORTLY if self.has_circles else None


class History:
    """What a plan's actors and threads do, and what becomes of it."""

    def __init__(self, figures, seed, path):
        self.figures, self.path = figures, path
        self.plan = Plan(seed)
        self.executors, self.senders = [], []
        self.killed = set()

    def run(self):
        for index, (cls, options) in enumerate(self.plan.actors):
            refs = {number: one.ref() for number, one in enumerate(self.executors)}
            self.executors.append(cls.options(**options).executor(self.path, index, refs))
        refs = dict(enumerate(self.executors))
        self.senders = [nodes.Blocks(self.path, None, refs) for _ in self.plan.scripts]
        works = [(self.disturb,)]
        for sender, script in zip(self.senders, self.plan.scripts, strict=True):
            works.append((sender.run, script, refs))
        deadline = time.monotonic() + PATIENCE
        histories.run_threads(works, deadline)
        posted = [future for sender in self.senders for future in sender.futures.values()]
        _, waiting = futures.wait(posted, max(0, deadline - time.monotonic()))
        assert not waiting, f"{len(waiting)} of {len(posted)} futures do not end"
        self.settle(deadline)
        self.end()
        Account(self.plan, self.killed, self.path.read_text()).check(self.figures)
        self.figures.update(histories=1, actors=len(self.plan.actors))

    def disturb(self):
        for wait, index, stops_for in self.plan.signals:
            time.sleep(wait)
            pid = self.executors[index].stats().pid
            if pid is None:
                continue
            if stops_for is None:
                self.killed.add(index)
            histories.disturb(self.figures, pid, stops_for)

    def settle(self, deadline):
        """Wait until nothing is left to do.

        Each actor is asked twice. What one had sent before its first answer is in its mailbox when
        the second question comes; if nothing was written down in between, nothing has begun.
        """
        found, size = None, -1
        while found is None or any(found) or self.path.stat().st_size != size:
            assert time.monotonic() < deadline, f"handlers or futures do not end: {found}"
            size = self.path.stat().st_size
            found = [self.left_at(executor) for executor in self.executors]
            time.sleep(0.001)

    def left_at(self, executor):
        try:
            inside, waiting = executor.post(None).result(PATIENCE)
        except BrokenActor:
            return None
        return (inside, waiting) if inside or waiting else None

    def end(self):
        for index, executor in enumerate(self.executors):
            assert executor.shutdown(timeout=PATIENCE) is None
            stats = executor.stats()
            assert (stats.depth, stats.running or 0) == (0, 0), stats
            assert not stats.restarts or index in self.killed, stats
            self.figures["restarts"] += stats.restarts
        for sender in self.senders:
            sender.refs.clear()
        self.senders.clear()
        self.executors.clear()

    def look_inside(self):
        """Return what is known of actors that hang."""
        for executor in self.executors:
            yield str(executor.stats())
            try:
                yield executor.dump_traceback(timeout=2)
            except BaseException as error:
                yield repr(error)


def main():
    logging.getLogger("futures_actors").addHandler(logging.NullHandler())
    folder = tempfile.mkdtemp()
    print(f"  what they do is written down in {folder}")
    print(run_all(folder, map(int, sys.argv[1:])))


if __name__ == "__main__":
    main()
