"""An async process actor that uses references: its loop and other threads read the same pipe."""

import asyncio
import os
import signal

import pytest

import actors
import asynchronous
import nests
import observe
import tasks
from futures_actors import ProcessActor
from gates import PATIENCE


class Asking:
    """Asks another actor by a reference, in a way that the message names."""

    def __init__(self, ref):
        self.ref = ref
        self.freed = asyncio.Event()

    async def handle(self, message):
        way, task = message
        if way == "blocking":  # reads messages for the loop while it waits
            answer = self.ref.post(task).result(PATIENCE)
            await asyncio.wait_for(self.freed.wait(), PATIENCE)
            return answer
        if way == "free":
            self.freed.set()
            return None
        if way == "in a thread":
            return await asyncio.to_thread(lambda: self.ref.post(task).result(PATIENCE))
        return await self.ref.post(task)


class AsyncAsking(Asking, ProcessActor, max_concurrency=50):
    pass


@pytest.fixture(params=["thread", "process"])
def target(request):
    with request.getfixturevalue(request.param).start(actors.Do) as executor:
        yield executor


@pytest.mark.parametrize("way", ["in a thread", "awaiting"])
def test_a_loop_goes_on_while_other_threads_read_what_was_meant_for_it(target, way):
    with AsyncAsking.executor(target) as asking:
        asked = [asking.post((way, (tasks.echo, number))) for number in range(200)]
        assert [one.result(PATIENCE) for one in asked] == list(range(200))


def test_a_message_that_was_read_while_the_loop_waited_for_a_reply_is_begun(target, gates):
    gate = gates()
    with AsyncAsking.executor(target) as asking:
        blocking = asking.post(("blocking", (tasks.pause, gate)))
        gate.reached()
        # It reaches the child before the reply does, so the thread that waits reads it.
        free = asking.post(("free", None))
        gate.open()
        assert free.result(PATIENCE) is None
        blocking.result(PATIENCE)
        # The loop is as it was.
        assert asking.post(("awaiting", (tasks.echo, 1))).result(PATIENCE) == 1


# A task that is cancelled.


async def cancel_an_await(_actor, ref, message, begun, gate=None):
    """Cancel a task that awaits a message which has begun, if `begun` is there."""
    task = asyncio.create_task(awaiting(ref.post(message)))
    await asyncio.sleep(0)  # it awaits: `to_thread` may end without a turn of the loop
    if begun is not None:
        await asyncio.to_thread(begun.reached)
    if gate is not None:
        await asyncio.to_thread(gate.wait)
    task.cancel()
    await asyncio.wait([task])
    if gate is not None:
        gate.knock()
    return task.cancelled()


async def awaiting(future):
    return await future


@pytest.fixture
def async_asker():
    with asynchronous.ProcessAwaits.executor() as executor:
        yield executor


def test_a_task_that_is_cancelled_cancels_a_message_that_has_not_begun(target, async_asker, gate):
    running = target.post((tasks.pause, gate))
    gate.reached()
    cancelled = async_asker.post((cancel_an_await, target, (tasks.remember, 1), None))
    assert cancelled.result(PATIENCE) is True
    # What it asks of this process comes before this answer.
    assert async_asker.post((is_alive, target)).result(PATIENCE) is True
    gate.open()
    assert running.result(PATIENCE) == "passed"
    assert target.post((tasks.recall,)).result(PATIENCE) == []


def is_alive(_actor, ref):
    return ref.is_alive()


def test_a_task_that_is_cancelled_leaves_a_message_alone_that_a_sync_actor_has_begun(
    target, async_asker, gates
):
    begun = gates()
    message = (tasks.pause_and_remember, begun, "handled")
    cancelled = async_asker.post((cancel_an_await, target, message, begun))
    assert cancelled.result(PATIENCE) is True
    begun.open()
    assert target.post((tasks.recall,)).result(PATIENCE) == ["handled"]


@pytest.mark.parametrize("cls", [asynchronous.ThreadAwaits, asynchronous.ProcessAwaits])
def test_a_task_that_is_cancelled_stops_the_coroutine_of_an_async_actor(async_asker, gate, cls):
    with cls.executor() as target:
        message = (asynchronous.wait_for_ever, gate)
        cancelled = async_asker.post((cancel_an_await, target, message, gate))
        try:
            assert cancelled.result(PATIENCE) is True
            # It has one place, which is free again.
            assert target.post((tasks.echo, 1)).result(PATIENCE) == 1
            assert target.stats().cancelled == 1
        finally:
            target.terminate()  # or else a coroutine that was not stopped would keep it


def start_two(actor):
    """Start two actors in this actor's process, of which one can ask the other."""
    actor.target = actors.ProcessDo.executor()
    actor.asking = asynchronous.ProcessAwaits.executor()
    return os.getpid()


def have_awaited(actor, *gates):
    begun = gates[0]
    actor.cancelled = actor.asking.post(
        (cancel_an_await, actor.target, (tasks.pause, begun), *gates)
    )


def what_was_cancelled(actor, begun):
    begun.open()
    return actor.cancelled.result(PATIENCE)


@observe.on_unix
def test_a_task_that_is_cancelled_does_not_wait_for_the_process_that_passes_messages_on(gates):
    begun, gate = gates(), gates()
    with nests.Nest.executor() as nest:
        pid = nests.ask(nest, "", start_two)
        nests.ask(nest, "", have_awaited, begun, gate)
        gate.reached()
        os.kill(pid, signal.SIGSTOP)
        try:
            gate.open()
            gate.reached()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert nests.ask(nest, "", what_was_cancelled, begun) is True
