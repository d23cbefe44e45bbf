"""Compares random histories of actors with a simple model.

Several threads start actors, post, cancel, and end actors in every way. Whatever happens, every
future must end, cancelled messages must never be handled, and the others must be handled once each,
in the order in which their thread posted them. Nothing may be left behind.
"""

import contextlib
import gc
import itertools
import os
import pickle
import signal
import threading
from concurrent import futures

import hypothesis
from hypothesis import stateful, strategies

import actors
import deeds
import tasks
from futures_actors import ActorDied, BrokenActor, MailboxFull, get_start_method
from residents import PATIENCE, leaks_since, snapshot


class Figures:
    def __init__(self):
        self.machines = self.actors = self.messages = self.cancelled = self.killed = 0
        self.failed = self.refused = self.full = self.restarts = 0
        self.lock = threading.Lock()

    def add(self, **more):
        with self.lock:
            for name, count in more.items():
                setattr(self, name, getattr(self, name) + count)

    def __str__(self):
        return (
            f"{self.machines} random histories, {self.actors} actors: {self.messages} messages, "
            f"{self.cancelled} cancelled, {self.failed} failed by {self.killed} ends by force "
            f"with {self.restarts} restarts, "
            f"{self.refused} refused after shutdown, {self.full} by a full mailbox; lost 0, leaks 0"
        )


FIGURES = Figures()
#: The states of a future: it may only move to a state with a higher number.
ORDER = {"PENDING": 0, "RUNNING": 1, "CANCELLED": 2, "CANCELLED_AND_NOTIFIED": 2, "FINISHED": 2}
ENDS = ["terminate", "kill", "terminate_workers", "kill_workers"]


class Modelled:
    """An actor, and what the model knows about it."""

    def __init__(self, kind, method, size, restarts):
        self.restarts = kind == "Process" and restarts
        options = {"start_method": method} if kind == "Process" else {}
        if self.restarts:
            options["max_restarts"] = 10_000
        options["mailbox_size"] = size
        self.bounded = size is not None
        self.executor = actors.actor_class(actors.Do, kind).options(**options).executor()
        self.is_process = kind == "Process"
        # The futures of each posting thread, in the order of its posts.
        self.posted = {}
        self.cancelled = set()
        self.states = {}
        self.bad = []
        self.closed = self.killed = self.ended = False
        self.kills = 0
        self.sent, self.told = 1, 0
        self.lock = threading.Lock()
        self.executor.post((tasks.get_pid,)).result(PATIENCE)
        FIGURES.add(actors=1)

    def add(self, *, sent=0, told=0, kills=0):
        with self.lock:
            self.kills += kills
            self.sent += sent
            self.told += told

    def post(self, count, thread="main", timeout=PATIENCE):
        for _ in range(count):
            future = self.try_post((deeds.remember, thread), timeout)
            if future is None:
                return
            self.posted.setdefault(thread, []).append(future)

    def try_post(self, message, timeout=PATIENCE):
        return self.accepted(self.executor.post, message, timeout)

    def tell(self, count, timeout):
        for number in range(count):
            # A told message is not recorded: there is no future that says whether it was handled.
            if self.accepted(self.executor.tell, (tasks.echo, number), timeout) is None:
                return
            self.add(told=1)

    def accepted(self, send, message, timeout):
        """Return the future, or True for a told message; None if the message was refused."""
        try:
            future = send(message, timeout=timeout)
        except MailboxFull:
            assert self.bounded
            assert timeout == 0
            FIGURES.add(full=1)
        except BrokenActor:
            assert self.killed
        except RuntimeError:
            if not self.closed:
                raise
            FIGURES.add(refused=1)
        else:
            FIGURES.add(messages=1)
            self.add(sent=1)
            return True if future is None else future
        return None

    def every(self):
        return [future for posted in list(self.posted.values()) for future in list(posted)]

    def cancel(self, position):
        every = self.every()
        if every:
            future = every[position % len(every)]
            if future.cancel():
                self.cancelled.add(future)
            else:
                self.see(future)
                assert self.states[future] != "PENDING", "it is pending, and cancel() was False"

    def see(self, future):
        """Check that a future's state never goes back, and never changes once it is done."""
        before = self.states.get(future, "PENDING")
        now = future._state
        assert ORDER[now] >= ORDER[before], f"{before}, then {now}"
        if ORDER[before] == ORDER["FINISHED"]:
            assert (now == "FINISHED") == (before == "FINISHED"), f"{before}, then {now}"
        with self.lock:
            if ORDER[now] > ORDER[self.states.get(future, "PENDING")]:
                self.states[future] = now

    def watch(self, rounds=20):
        for _ in range(rounds):
            for future in self.every():
                self.see(future)

    def kill(self):
        self.killed = True
        pid = self.executor.stats().pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):  # the process is dead already
            os.kill(pid, signal.SIGKILL)
            self.add(kills=1)
            FIGURES.add(killed=1)

    def end(self, how):
        self.closed = self.killed = self.ended = True
        getattr(self.executor, how)()
        FIGURES.add(killed=1)

    def close(self, *, wait, cancel):
        self.closed = True
        # Messages that have not begun are cancelled; only their futures show which ones these are.
        self.cancels_all = cancel or getattr(self, "cancels_all", False)
        self.executor.shutdown(wait=wait, cancel_futures=cancel)

    def check(self):
        every = [future for posted in self.posted.values() for future in posted]
        _, waiting = futures.wait([*every, *self.bad], PATIENCE)
        assert not waiting, f"{len(waiting)} futures never end"
        self.watch(rounds=1)
        for future in self.bad:
            error = future.exception()
            assert isinstance(error, TypeError | pickle.PicklingError | ActorDied), error
        # Collect the answers by process, because each new process counts from zero.
        answers = {}
        started = 0
        for posted in self.posted.values():
            mine = [self.answer(future) for future in posted]
            handled = [answer for answer in mine if isinstance(answer, tuple)]
            for pid, group in itertools.groupby(handled, lambda answer: answer[0]):
                numbers = [number for _, number in group]
                assert numbers == sorted(numbers), "out of order"
                answers.setdefault(pid, []).extend(numbers)
            started += sum(getattr(answer, "started", False) for answer in mine)
        # Each message was handled once, and no other message in between.
        for numbers in answers.values():
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), sorted(numbers)
        assert len(answers) <= 1 + self.kills
        assert started <= (self.kills + 1 if self.restarts else 1)
        stats = self.executor.stats()
        counted = stats.handled + stats.failed + stats.cancelled
        assert (counted, stats.told) == (self.sent, self.told), (self.sent, self.told, stats)
        assert (stats.depth, stats.age) == (0, None), stats
        assert stats.restarts <= self.kills
        FIGURES.add(restarts=stats.restarts)

    def answer(self, future):
        """Return the answer or the `ActorDied` of a future, or None if it was cancelled."""
        if future.cancelled():
            assert future in self.cancelled or self.cancels_all
            FIGURES.add(cancelled=1)
            return None
        assert future not in self.cancelled, "cancel() was True, and it is not cancelled"
        error = future.exception()
        if error is None:
            return future.result()
        assert self.killed
        assert isinstance(error, ActorDied if self.is_process else BrokenActor), error
        if self.restarts and not self.ended:
            assert error.started, "it had not begun, and is not tried again"
        FIGURES.add(failed=1)
        return error


class Machine(stateful.RuleBasedStateMachine):
    modelled = stateful.Bundle("modelled")

    def __init__(self):
        super().__init__()
        self.before = snapshot()
        self.every = []
        FIGURES.add(machines=1)

    @stateful.rule(
        target=modelled,
        kind=strategies.sampled_from(["Thread", "Process", "Process"]),
        method=strategies.sampled_from(["forkserver"] * 7 + ["spawn"]),
        size=strategies.sampled_from([None, None, 1, 8, 100]),
        restarts=strategies.booleans(),
    )
    def start(self, kind, method, size, restarts):
        if get_start_method() == "spawn":  # this platform has no other method
            method = "spawn"
        self.every.append(Modelled(kind, method, size, restarts))
        return self.every[-1]

    @stateful.rule(
        one=modelled,
        count=strategies.integers(1, 700),
        timeout=strategies.sampled_from([0, PATIENCE]),
    )
    def post(self, one, count, timeout):
        one.post(count, timeout=timeout)

    @stateful.rule(
        one=modelled,
        count=strategies.integers(1, 300),
        timeout=strategies.sampled_from([0, PATIENCE]),
    )
    def tell(self, one, count, timeout):
        one.tell(count, timeout)

    @stateful.rule(one=modelled)
    def stats(self, one):
        stats = one.executor.stats()
        assert stats.depth >= 0
        assert stats.told <= one.told
        assert stats.handled + stats.failed + stats.cancelled + stats.depth <= one.sent

    @stateful.rule(one=modelled)
    def post_what_cannot_be_pickled(self, one):
        if one.is_process:
            future = one.try_post((tasks.echo, threading.Lock()))
            one.bad += [future] if future else []

    @stateful.rule(one=modelled, positions=strategies.lists(strategies.integers(0), max_size=20))
    def cancel(self, one, positions):
        for position in positions:
            one.cancel(position)

    @stateful.rule(one=modelled)
    def kill(self, one):
        if one.is_process and not one.closed:
            one.kill()

    @stateful.rule(one=modelled, how=strategies.sampled_from(ENDS))
    def end(self, one, how):
        one.end(how)

    @stateful.rule(one=modelled, wait=strategies.booleans(), cancel=strategies.booleans())
    def shutdown(self, one, wait, cancel):
        one.close(wait=wait, cancel=cancel)

    @stateful.rule(one=modelled)
    def look(self, one):
        try:
            assert one.executor.dump_traceback(timeout=PATIENCE)
        except NotImplementedError:  # valgrind does not support it
            pass
        except BrokenActor:
            assert one.killed
        except RuntimeError:
            assert one.closed

    @stateful.rule(one=modelled)
    def watch(self, one):
        one.watch(rounds=3)

    @stateful.rule(one=modelled)
    def wait(self, one):
        futures.wait([future for posted in one.posted.values() for future in posted], PATIENCE)

    @stateful.rule(
        one=modelled,
        deeds=strategies.lists(
            strategies.sampled_from(
                [
                    "post",
                    "post",
                    "tell",
                    "cancel",
                    "kill",
                    "end",
                    "shutdown",
                    "look",
                    "watch",
                    "watch",
                ]
            ),
            min_size=2,
            max_size=5,
        ),
    )
    def race(self, one, deeds):
        """Do several things at once, each in a thread of its own."""
        failures = []

        def body(number, deed):
            try:
                self.do(one, number, deed)
            except BaseException as error:
                failures.append(error)

        if "shutdown" in deeds or "end" in deeds:
            one.closed = True
        if "shutdown" in deeds:
            one.cancels_all = True
        if "end" in deeds or ("kill" in deeds and one.is_process):
            one.killed = True
        threads = [
            threading.Thread(target=body, args=(number, deed)) for number, deed in enumerate(deeds)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"one of {deeds} hangs"
        if failures:
            raise failures[0]

    def do(self, one, number, deed):
        if deed == "post":
            # The order of messages is only known within one thread of one race.
            one.post(150, thread=(len(one.posted), number))
        elif deed == "tell":
            one.tell(100, PATIENCE)
        elif deed == "cancel":
            for position in range(0, 300, 7):
                one.cancel(position)
        elif deed == "kill" and one.is_process:
            one.kill()
        elif deed == "end":
            one.end(ENDS[number % len(ENDS)])
        elif deed == "shutdown":
            one.close(wait=False, cancel=True)
        elif deed == "look":
            self.look(one)
        elif deed == "watch":
            one.watch()

    def teardown(self):
        for one in self.every:
            one.executor.shutdown()
            one.check()
        self.every.clear()
        # hypothesis keeps the arguments of rules alive as long as the machine.
        self.bundles.clear()
        self.names_to_values.clear()
        gc.collect()
        left = leaks_since(self.before)
        assert not left, left


def run(*, histories=200, steps=30):
    FIGURES.__init__()
    with actors.ProcessEcho.executor() as warm:
        warm.post(1).result(PATIENCE)
    settings = hypothesis.settings(
        max_examples=histories,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        # A failure depends on timing, so hypothesis could not shrink the history that caused it.
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    stateful.run_state_machine_as_test(Machine, settings=settings)
    return FIGURES
