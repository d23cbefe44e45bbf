"""A message that has begun takes no place in its mailbox, whatever the thread does that hears it.

What a child reports is settled by its I/O thread. Here that thread has read it and cannot go on: it
waits for a handler of log records, or runs a callback.
"""

import asyncio
import logging
import os

import pytest

import actors
import asynchronous
import bounded
import loggers
import programs
import tasks
from futures_actors import MailboxFull
from gates import PATIENCE

LOGGER = "tests.places"


class Stuck(logging.Handler):
    """Waits at a gate. Handles the records of several actors at once."""

    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def handle(self, _record):
        # Without the lock that `emit` would be called with.
        self.gate.wait()


class Sticks:
    """The gate of a handler."""

    def __init__(self, gate):
        self.gate = gate
        self.count = 0

    def reached(self):
        """Return when a record has come. What is read from now on is not settled."""
        self.gate.reached()
        self.count += 1

    def let_go(self):
        self.gate.open(self.count)


@pytest.fixture
def stuck(gates):
    """Keep the I/O threads of actors that log from settling what they read, for two seconds."""
    gate = gates()
    logger, handler = logging.getLogger(LOGGER), Stuck(gate)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield Sticks(gate)
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


class Started:
    """An actor, or a pool, with a mailbox of one place. Each member will log when `log` is open."""

    def __init__(self, executor, members, log):
        self.executor = executor
        self.members = members
        self.log = log
        self.count = 0
        for one in executor.members if members > 1 else [executor]:
            self.let_handle(one, (loggers.log_when_open, LOGGER, log))

    def stick(self, stuck):
        self.log.open(self.members)
        for _ in range(self.members):
            stuck.reached()

    def let_handle(self, target, message):
        target.post(message).result(PATIENCE)
        self.count += 1

    def wait_until_read(self):
        """Return when one more message is counted as handled."""
        self.count += 1
        programs.wait_until(lambda: self.executor.stats().handled == self.count, PATIENCE)


@pytest.fixture(params=[1, 2], ids=["alone", "pool"])
def started(request, process_kind, stuck, gates):
    """An actor, or a pool of two."""
    actor, options = process_kind.actor(actors.Do), {"mailbox_size": 1}
    made = actor.options(**options) if request.param == 1 else actor.pool(request.param, **options)
    with made.executor() as executor:
        yield Started(executor, request.param, gates())
        stuck.let_go()


@pytest.mark.parametrize("how", ["post", "tell"])
def test_a_place_is_free_when_it_was_read_that_the_message_has_ended(started, stuck, how):
    started.stick(stuck)
    getattr(started.executor, how)((tasks.echo, 1))
    started.wait_until_read()
    assert started.executor.stats().depth == 0
    started.executor.post((tasks.echo, "now"), timeout=0)


def post_now(_actor, ref):
    ref.post((tasks.echo, "now"), timeout=0)


def test_a_sender_elsewhere_finds_it_free_too(started, stuck, asker):
    started.stick(stuck)
    started.executor.post((tasks.echo, 1))
    started.wait_until_read()
    asker.post((post_now, started.executor)).result(PATIENCE)


def read_no_more(executor, gate, callback):
    """Have a callback wait on the thread that reads the answers."""
    future = executor.post((tasks.pause, gate))
    future.add_done_callback(lambda _future: callback.wait())
    gate.open()
    callback.reached()


def want_notices(executor, gate):
    """Have a sender wait for a place, and give up: then the actor reports which message it begins
    next."""

    async def wait_and_give_up():
        assert executor.post((tasks.echo, "late")).cancel()

    _, *waiting = bounded.fill(executor, gate, 2)
    asyncio.run(wait_and_give_up())
    assert all(one.cancel() for one in waiting)
    gate.open()


def test_a_place_is_free_when_it_was_read_that_the_message_has_begun(process_kind, stuck, gates):
    """Everything is read at once, after a callback: the notice, the record and the answer."""
    first, callback, last = gates(), gates(), gates()
    with bounded.start(process_kind, 2) as executor:
        read_no_more(executor, first, callback)
        want_notices(executor, gates())
        executor.post((loggers.log, LOGGER, "info", "text"))
        executor.post((tasks.pause, last))
        last.reached()
        callback.open()
        stuck.reached()
        programs.wait_until(lambda: executor.stats().handled == 3, PATIENCE)
        for number in range(2):
            executor.post((tasks.echo, number), timeout=0)
        last.open()
        stuck.let_go()


def test_what_began_while_a_callback_runs_does_not_wait(process_kind, gates):
    first, callback, last = gates(), gates(), gates()
    with bounded.start(process_kind, 2) as executor:
        read_no_more(executor, first, callback)
        answered = executor.post((tasks.echo, 1))
        running = executor.post((tasks.pause, last))
        last.reached()
        stats = executor.stats()
        assert (stats.depth, stats.running, stats.handled) == (0, 1, 1)
        assert not answered.cancel()
        assert not running.cancel()
        waiting = [executor.post((tasks.echo, number), timeout=0) for number in range(2)]
        assert executor.stats().depth == 2
        with pytest.raises(MailboxFull):
            executor.post((tasks.echo, "too many"), timeout=0)
        callback.open()
        last.open()
        assert answered.result(PATIENCE) == 1
        assert [one.result(PATIENCE) for one in waiting] == [0, 1]


def test_what_a_dead_process_had_begun_takes_no_place(gates):
    """Though a callback of what fails before it takes long."""
    begun, callback = gates(), gates()
    options = asynchronous.ProcessAwaits.options(max_concurrency=2, mailbox_size=2, max_restarts=1)
    with options.executor() as executor:
        first = executor.post((asynchronous.wait_for_ever, begun))
        second = executor.post((asynchronous.wait_for_ever, begun))
        begun.reached()
        begun.reached()
        first.add_done_callback(lambda _future: callback.wait())
        os.kill(executor.stats().pid, tasks.KILL)
        callback.reached()
        assert not second.done()
        posted = [executor.post((tasks.echo, number), timeout=0) for number in range(2)]
        callback.open()
        assert [one.result(PATIENCE) for one in posted] == [0, 1]
