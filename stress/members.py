"""Random histories of pools, compared with what each member writes down.

Threads of the program post to a pool with keys and without, broadcast, tell, take by `imap` and
cancel. Members get SIGKILL, and SIGSTOP with SIGCONT, and the pool ends in any of its ways, in some
histories in the middle. A history's seed makes it: `python stress/members.py SEED` runs it again.
"""

import contextlib
import logging
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path

import deeds
import futures_actors
import histories
from futures_actors import ActorDied, BrokenActor, MailboxFull
from residents import PATIENCE, leaks_since, snapshot

KINDS = [
    deeds.ThreadMember,
    deeds.ProcessMember,
    deeds.ProcessMember,
    deeds.AsyncThreadMember,
    deeds.AsyncProcessMember,
]
#: Ways to end a pool. With the last two what has not ended fails.
ENDS = ["shutdown", "cancel", "terminate", "kill"]
KEYS = [None, 1, 1.5, "a", "b", b"a", ("a", 1), True, "kolibri"]
NO_KEY = object()


class Figures(Counter):
    def __str__(self):
        return (
            f"{self['histories']} histories of pools with {self['members']} members: "
            f"{self['sends']} messages: {self['answered']} right answers, {self['cancelled']} "
            f"cancelled, {self['failed']} failed, {self['told']} told, {self['taken']} taken by "
            f"imap; {self['refused']} refused, {self['ordered']} in the order of their key; "
            f"{self['kills']} SIGKILL, {self['stops']} SIGSTOP, {self['restarts']} restarts; "
            "lost 0, leaks 0"
        )


def run(folder, *, rounds=300, seed=None):
    return run_all(folder, histories.seeds(rounds, seed))


def run_all(folder, seeds):
    figures = Figures()
    path = Path(folder) / "begun"
    path.touch()
    for cls in set(KINDS):
        with cls.pool(2).executor(path) as warm:
            assert warm.post((0, 0)).result(PATIENCE)[0] == 0
    before = snapshot()
    for seed in seeds:
        path.write_text("")
        history = History(figures, seed, path)
        try:
            history.run()
            history.check()
            del history.pool, history.sent
            left = leaks_since(before)
            assert not left, left
        except BaseException:
            print(f"  the history of seed {seed} fails ({path}): {history}", flush=True)
            raise
    return figures


@dataclass
class Sent:
    """A message that a thread of the program has sent."""

    number: int
    thread: int
    key: object = NO_KEY
    #: One for each member if it was a broadcast, none if it was told or `imap` posted it.
    futures: list = field(default_factory=list)
    is_broadcast: bool = False
    is_cancelled: bool = False


class History:
    """One pool, from its start to its end."""

    def __init__(self, figures, seed, path):
        self.figures, self.path = figures, path
        self.dice = dice = random.Random(seed)
        self.cls = dice.choice(KINDS)
        self.is_process = issubclass(self.cls, futures_actors.ProcessActor)
        self.size = dice.randrange(1, 6)
        self.options = {"mailbox_size": dice.choice([None, None, 1, 4, 30])}
        if issubclass(self.cls, deeds.AsyncMember):
            self.options["max_concurrency"] = dice.choice([1, 1, 2, 8])
        self.signals = []
        if self.is_process:
            self.options["max_restarts"] = dice.choice([0, 2, 1000, 1000])
            self.signals = [self.signal() for _ in range(dice.choice([0, 1, 3, 10]))]
        self.end = dice.choice(ENDS)
        self.ends_early = dice.random() < 0.4
        self.longest = dice.choice([0, 0.0003, 0.002])
        self.has_ended = False
        self.sent = {}
        self.pool = None

    def __str__(self):
        early = " early" if self.ends_early else ""
        return (
            f"{self.size} x {self.cls.__name__} {self.options}, {self.end}{early}, "
            f"signals {self.signals}; {self.pool and self.pool.stats()}"
        )

    def signal(self):
        stops_for = self.dice.choice([None, None, 0, 0.01, 0.05])
        return self.dice.random() ** 2 * 0.03, self.dice.randrange(self.size), stops_for

    def run(self):
        self.pool = self.cls.pool(self.size, **self.options).executor(self.path)
        # A member that is killed in its first constructor is not what this is about.
        for future in self.pool.broadcast((-1, 0)):
            assert future.result(PATIENCE)[0] == -1
        self.path.write_text("")
        works = [(self.disturb,)]
        count = self.dice.randrange(1, 4)
        works += [(self.send, t, random.Random(self.dice.random())) for t in range(count)]
        deadline = time.monotonic() + PATIENCE
        histories.run_threads(works, deadline)
        if not self.ends_early:
            self.end_pool()
        posted = [future for one in self.sent.values() for future in one.futures]
        _, waiting = futures.wait(posted, max(0, deadline - time.monotonic()))
        assert not waiting, f"{len(waiting)} of {len(posted)} futures do not end"
        assert self.pool.shutdown(timeout=PATIENCE) is None
        self.figures.update(histories=1, members=self.size, sends=len(self.sent))

    def disturb(self):
        for wait, index, stops_for in self.signals:
            time.sleep(wait)
            pid = self.pool.stats().members[index].pid
            if pid is not None:
                histories.disturb(self.figures, pid, stops_for)
        if self.ends_early:
            self.end_pool()

    def end_pool(self):
        self.has_ended = True
        if self.end == "cancel":
            self.pool.shutdown(wait=False, cancel_futures=True)
        elif self.end == "shutdown":
            self.pool.shutdown(wait=False)
        else:
            getattr(self.pool, self.end)()

    # What the threads of the program do.

    def send(self, thread, dice):
        ways = [self.post] * 8 + [self.tell] * 2 + [self.broadcast, self.cancel, self.imap]
        for at in range(dice.randrange(10, 80)):
            number = 1000 * thread + at
            try:
                dice.choice(ways)(Sent(number, thread), dice)
            except MailboxFull:
                assert self.options["mailbox_size"] is not None
                self.figures["refused"] += 1
            except RuntimeError:
                # Also a `BrokenActor`: it was shut down, ended by force, or no member is left.
                assert self.has_ended or self.may_be_broken()
                self.figures["refused"] += 1
            if dice.random() < 0.1:
                time.sleep(dice.choice([0, 0.0005, 0.003]))

    def may_be_broken(self):
        return self.is_process and self.options["max_restarts"] < 1000

    def message(self, sent, dice):
        return sent.number, dice.choice([0, 0, self.longest])

    def post(self, sent, dice):
        where = {}
        if dice.random() < 0.4:
            where["key"] = sent.key = dice.choice(KEYS)
        timeout = dice.choice([None, None, 0, 0.01])
        future = self.pool.post(self.message(sent, dice), timeout=timeout, **where)
        sent.futures.append(future)
        self.sent[sent.number] = sent

    def tell(self, sent, dice):
        to = self.pool
        if dice.random() < 0.4:
            sent.key = dice.choice(KEYS)
            to = to.keyed(sent.key)
        to.tell(self.message(sent, dice))
        self.sent[sent.number] = sent
        self.figures["told"] += 1

    def broadcast(self, sent, dice):
        sent.is_broadcast = True
        sent.futures += self.pool.broadcast(self.message(sent, dice))
        self.sent[sent.number] = sent

    def cancel(self, sent, dice):
        mine = [one for one in list(self.sent.values()) if one.thread == sent.thread]
        for one in mine[-dice.randrange(1, 20) :]:
            cancelled = [future.cancel() for future in one.futures]
            assert all(f.cancelled() == c for f, c in zip(one.futures, cancelled, strict=True))
            one.is_cancelled |= any(cancelled)

    def imap(self, sent, dice):
        """Take some answers of messages whose numbers no other message has."""
        begin = 10_000 + 100 * sent.number
        numbers = range(begin, begin + dice.choice([0, 1, 10, 40]))
        name = dice.choice(["imap", "imap_unordered"])
        messages = ((number, dice.choice([0, self.longest])) for number in numbers)
        answers = getattr(self.pool, name)(messages, buffersize=dice.choice([1, 4, None]))
        most, got = dice.choice([0, 3, 100]), []
        with contextlib.closing(answers):
            while len(got) < most:
                try:
                    got.append(next(answers)[0])
                except StopIteration:
                    # If the pool refuses a message, that one is the last.
                    assert len(got) == len(numbers) or got[-1] is None
                    break
                except (BrokenActor, futures.CancelledError):
                    if not (self.signals or self.has_ended):
                        raise
                    got.append(None)
        given = [number for number in got if number is not None]
        assert len(given) == len(set(given)), given
        if name == "imap":
            assert all(number in (None, wanted) for number, wanted in zip(got, numbers))  # noqa: B905
        self.figures["taken"] += len(given)

    # What must be true afterwards.

    def check(self):
        begun = self.read_begun()
        stats = self.pool.stats()
        for sent in self.sent.values():
            for index, future in enumerate(sent.futures):
                self.check_future(sent, index, future, begun, stats)
        self.check_keys(begun, stats)
        assert (stats.depth, stats.running or 0) == (0, 0), stats
        for name in ("handled", "failed", "cancelled", "restarts"):
            of_members = sum(getattr(one, name) for one in stats.members)
            # What no member has begun is counted by the pool alone.
            assert of_members == getattr(stats, name) or name in ("failed", "cancelled"), stats
        assert stats.restarts == 0 or self.is_process
        self.figures["restarts"] += stats.restarts

    def read_begun(self):
        """Return which members have begun each message, in order, and check that it is once."""
        begun = defaultdict(list)
        for line in self.path.read_text().splitlines():
            number, index, _pid = map(int, line.split())
            begun[number].append(index)
        for number, members in begun.items():
            is_broadcast = number in self.sent and self.sent[number].is_broadcast
            assert len(members) == len(set(members)), f"{number} began twice: {members}"
            assert is_broadcast or len(members) == 1, f"{number} began at {members}"
        return begun

    def check_future(self, sent, index, future, begun, stats):
        at = begun.get(sent.number, [])
        has_begun = index in at if sent.is_broadcast else bool(at)
        if future.cancelled():
            assert not has_begun, sent
            assert sent.is_cancelled or self.end == "cancel", sent
            self.figures["cancelled"] += 1
        elif (error := future.exception()) is None:
            assert has_begun, sent
            assert future.result() == (sent.number, index if sent.is_broadcast else at[0])
            self.figures["answered"] += 1
        else:
            self.check_failure(sent, index, error, has_begun, stats)
            self.figures["failed"] += 1

    def check_failure(self, sent, index, error, has_begun, stats):
        is_forced = self.has_ended and self.end in ("terminate", "kill")
        assert isinstance(error, BrokenActor), error
        assert is_forced or (self.is_process and self.signals), error
        if not isinstance(error, ActorDied):
            assert is_forced, error
            return
        if error.started:
            return
        assert not has_begun, f"{sent} began, and started is False"
        if is_forced:
            return
        # It had a member that is dead for good, or could have had any, and all are.
        dead = [at for at, one in enumerate(stats.members) if one.state == "broken"]
        assert self.may_be_broken(), error
        if sent.is_broadcast:
            assert index in dead, (index, stats)
        else:
            assert dead, stats
            assert sent.key is not NO_KEY or len(dead) == self.size, (sent, stats)

    def check_keys(self, begun, stats):
        """Check that a key has one member, which begins each thread's messages in order."""
        members, order = defaultdict(set), {}
        places = {number: place for place, number in enumerate(begun)}
        for number in sorted(places.keys() & self.sent.keys()):
            sent = self.sent[number]
            if sent.key is NO_KEY:
                continue
            members[sent.key].update(begun[number])
            before = order.get((sent.thread, sent.key), -1)
            assert places[number] > before, f"{number} of key {sent.key!r} began too early"
            order[sent.thread, sent.key] = places[number]
            self.figures["ordered"] += 1
        for key, at in members.items():
            assert len(at) == 1, f"key {key!r} was at members {at}: {stats}"


def main():
    logging.getLogger("futures_actors").addHandler(logging.NullHandler())
    folder = tempfile.mkdtemp()
    print(f"  what begins is written down in {folder}")
    print(run_all(folder, map(int, sys.argv[1:])))


if __name__ == "__main__":
    main()
