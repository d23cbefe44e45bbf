"""An async process actor that uses references: its loop and other threads read the same pipe."""

import asyncio

import pytest

import actors
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
