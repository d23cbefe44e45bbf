"""What holds for a full mailbox holds for a reference in another process: it never blocks a loop.

Tests of the contract run here in an actor, which knows another actor of the program by a reference.
"""

import asyncio
import contextlib
import os
import signal
import threading
from concurrent import futures

import pytest
import test_apost as aposts
import test_event_loop as loops

import actors
import asynchronous
import bounded
import observe
import programs
import relays
import tasks
from futures_actors import ActorDeadlock, BrokenActor, MailboxFull, current_actor
from gates import PATIENCE


class Full:
    """Stands for the kinds in a test that runs in an actor: the actor with the mailbox is there."""

    def __init__(self, ref):
        self.ref = ref

    def actor(self, _body):
        return self

    def options(self, *, mailbox_size):
        return self

    def executor(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass

    def __getattr__(self, name):
        return getattr(self.ref, name)


def run_here(_actor, test, ref, *args):
    # pytest's exceptions cannot cross.
    try:
        test(Full(ref), *args)
    except pytest.fail.Exception as error:
        raise AssertionError(str(error)) from error


def run_in_thread(actor, *args):
    """Run a test in a thread of the process, while the actor's own thread waits."""
    raised = []

    def run():
        try:
            run_here(actor, *args)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in raised:
        raise error


async def run_beside_loop(actor, *args):
    await asyncio.to_thread(run_here, actor, *args)


#: The loop of a test runs in the actor's own thread, or in another one.
WHERE = {
    "own thread": (actors.ProcessDo, run_here),
    "another thread": (actors.ProcessDo, run_in_thread),
    "a thread of an async actor": (asynchronous.ProcessAwaits, run_beside_loop),
}


# It lives long, since it imports pytest there.
@pytest.fixture(scope="module", params=WHERE)
def elsewhere(request):
    """Run a test in an actor: `elsewhere(test, target, ...)`."""
    cls, run = WHERE[request.param]
    with cls.executor() as asker:
        # Until then it looks like a process that the fork server keeps ready, which does not count
        # as left behind.
        asker.post((tasks.echo, "started")).result(programs.PATIENCE)
        yield lambda test, *args: asker.post((run, test, *args)).result(programs.PATIENCE)


@pytest.fixture
def full_target(stream_kind):
    with bounded.start(stream_kind, 1) as executor:
        yield executor


@pytest.fixture
def async_asker():
    with asynchronous.ProcessAwaits.options(max_concurrency=20).executor() as executor:
        yield executor


@pytest.mark.parametrize(
    "test",
    [
        aposts.test_apost_waits_without_blocking_the_loop,
        aposts.test_a_cancelled_apost_posts_nothing_and_keeps_no_room,
        loops.test_submit_and_proxies_do_not_wait_either,
        loops.test_a_cancelled_atell_sends_nothing,
        loops.test_tell_goes_before_coroutines_of_the_loop_that_it_blocks,
        loops.test_tell_takes_a_place_that_a_coroutine_has_been_granted,
        loops.test_tell_that_gives_up_leaves_the_coroutines_their_turns,
        loops.test_tell_takes_no_turn_of_another_thread,
        loops.test_a_dropped_future_does_not_stop_its_message,
    ],
)
def test_a_loop_in_a_process_is_not_blocked_by_a_full_mailbox(elsewhere, full_target, gate, test):
    elsewhere(test, full_target, gate)


@pytest.mark.parametrize("cancelled", ["before", "after"])
def test_a_coroutine_in_a_process_that_tell_has_gone_before_can_be_cancelled(
    elsewhere, full_target, gate, cancelled
):
    test = loops.test_a_coroutine_that_tell_has_gone_before_can_be_cancelled
    elsewhere(test, full_target, gate, cancelled)


def test_all_in_a_process_who_wait_for_room_get_it_in_turn(elsewhere, stream_kind):
    with bounded.start(stream_kind, 3, actors.Keeps) as target:
        elsewhere(loops.test_all_who_wait_for_room_get_it_while_some_block_their_loop, target)


def test_apost_by_a_reference_returns_the_future_of_the_answer(elsewhere, full_target):
    elsewhere(aposts.test_apost_returns_the_future_of_the_answer, full_target)


async def post_in_a_row(_actor, ref, count):
    posted = []
    for number in range(count):
        posted.append(ref.post(number))
        if number % 3 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*posted)


def test_messages_of_a_loop_in_a_process_keep_their_order(process_kind):
    count, between = 20_000, -1
    target = bounded.start(process_kind, 2, actors.Keeps)
    with actors.ProcessDo.executor() as asker, target:
        posting = asker.post((relays.in_loop, post_in_a_row, target, count))
        # Three threads make room at once: this one, and those that hear from the two processes.
        while not posting.done():
            with contextlib.suppress(MailboxFull):
                target.post(between, timeout=0)
        assert posting.result(PATIENCE) is None
        kept = target.post(None).result(PATIENCE)
    assert [number for number in kept if number != between] == list(range(count))


def test_aposts_by_a_reference_cancelled_while_room_is_made_keep_no_room(elsewhere, stream_kind):
    with bounded.start(stream_kind, 1, actors.Echo) as target:
        elsewhere(aposts.test_aposts_cancelled_while_room_is_made_keep_no_room, target)
        assert target.stats().depth == 0


def test_a_cancelled_message_of_a_process_gives_up_its_turn(elsewhere, full_target, gate):
    elsewhere(gives_up_turns, full_target, gate)
    stats = full_target.stats()
    # What still waited for room was never accepted.
    assert (stats.depth, stats.handled) == (0, 3)


def gives_up_turns(kind, gate):
    ref, waiting = loops.full(kind, gate)

    async def post():
        first, second, third = (ref.post((tasks.echo, number)) for number in (1, 2, 3))
        assert second.cancel()
        assert first.cancel()
        assert second.cancelled()
        gate.open()
        return await asyncio.gather(*waiting, third)

    assert loops.in_loop(post) == [0, 3]


def test_a_message_of_a_process_that_finds_no_room_in_time_fails(elsewhere, full_target, gate):
    elsewhere(runs_out_of_time, full_target, gate)


def runs_out_of_time(kind, gate):
    ref, waiting = loops.full(kind, gate)

    async def post():
        late = [ref.post((tasks.echo, 1), timeout=timeout) for timeout in (0, 0.01)]
        patient = ref.post((tasks.echo, 2), timeout=PATIENCE)
        for future in late:
            with pytest.raises(MailboxFull, match="is full, and no place became free in time"):
                await future
        gate.open()
        return await asyncio.gather(*waiting, patient)

    assert loops.in_loop(post) == [0, 2]


def test_a_message_of_a_process_needs_no_time_if_there_is_room(elsewhere, full_target, gate):
    elsewhere(needs_no_time, full_target, gate)


def needs_no_time(kind, gate):
    """A message that has got a place keeps it, though its time is over before it begins."""
    running = kind.ref.post((tasks.pause, gate))
    gate.reached()
    with_place = kind.ref.post((tasks.echo, 1), timeout=0)
    gate.open()
    assert (running.result(PATIENCE), with_place.result(PATIENCE)) == ("passed", 1)

    async def post():
        running = kind.ref.post((tasks.pause, gate))
        await asyncio.to_thread(gate.reached)
        with_place = kind.ref.post((tasks.echo, 2), timeout=0)
        # The parent has heard by then that the time is over.
        await asyncio.sleep(0.01)
        assert kind.ref.is_alive()
        gate.open()
        return await running, await with_place

    assert loops.in_loop(post) == ("passed", 2)


def test_a_member_of_a_pool_has_room_as_soon_as_another_one_has_begun(gate):
    pool = actors.ProcessDo.pool(2, mailbox_size=1).executor()
    with actors.ProcessDo.executor() as asker, pool:
        running = pool.members[1].post((tasks.pause, gate))
        gate.reached()
        try:
            # Nothing waited for room when it began, so its process has not reported that.
            asked = asker.post((relays.ask, pool.members[0], (tasks.echo, 1)))
            assert asked.result(PATIENCE) == 1
        finally:
            gate.open()
        assert running.result(PATIENCE) == "passed"


# In the loop of an async actor.


async def send_in_turn(_actor, ref, gate, send):
    """Send more than there is room for, each when there is room."""
    running = ref.post((tasks.pause, gate))
    await asyncio.to_thread(gate.reached)
    first = ref.post((tasks.remember, 0))
    sends = [asyncio.create_task(getattr(ref, send)((tasks.remember, n))) for n in range(1, 6)]
    await asyncio.sleep(0)
    assert ref.is_alive()
    assert not any(task.done() for task in sends)
    gate.open()
    await asyncio.gather(running, first, *sends)
    return await ref.post((tasks.recall,))


@pytest.mark.parametrize("send", ["apost", "atell"])
def test_an_async_actor_waits_for_room_in_turn(async_asker, full_target, gate, send):
    sent = async_asker.post((send_in_turn, full_target, gate, send)).result(PATIENCE)
    assert sent == [*range(6)]


async def wait_for_room(_actor, ref, gate, send):
    """Wait for room; knock when the parent has heard of it."""
    sent = asyncio.ensure_future(getattr(ref, send)((tasks.remember, "sent")))
    await asyncio.sleep(0)
    assert ref.is_alive()
    gate.knock()
    try:
        answer = await sent
        return answer and await answer
    except Exception as error:
        return error


@pytest.mark.parametrize("send", ["apost", "atell"])
@pytest.mark.parametrize("how", ["shutdown", "kill"])
def test_the_end_of_the_target_ends_the_wait_for_room(async_asker, process, gates, send, how):
    gate, waits = gates(), gates()
    target = bounded.start(process, 1)
    bounded.fill(target, gate, 1)
    waiting = async_asker.post((wait_for_room, target, waits, send))
    waits.reached()
    getattr(target, how)(*[False] * (how == "shutdown"))
    error = waiting.result(PATIENCE)
    if how == "shutdown":
        assert type(error) is RuntimeError
        assert "after shutdown" in str(error)
        gate.open()
    elif send == "apost":
        # It may have got the place of a message that was lost.
        assert isinstance(error, (BrokenActor, RuntimeError))
    target.shutdown()


@observe.on_unix
@pytest.mark.parametrize("has_place", [False, True])
def test_a_sender_that_dies_passes_its_turn_or_its_place_on(
    async_asker, full_target, gates, has_place
):
    gate, waits = gates(), gates()
    running, filling = bounded.fill(full_target, gate, 1)
    pid = async_asker.post((tasks.get_pid,)).result(PATIENCE)
    waiting = async_asker.post((wait_for_room, full_target, waits, "atell"))
    waits.reached()
    if has_place:
        # Then it can be granted a place, and make no use of it.
        os.kill(pid, signal.SIGSTOP)
        gate.open()
        assert filling.result(PATIENCE) == 0
        with pytest.raises(MailboxFull):
            full_target.post((tasks.remember, "early"), timeout=0.01)
    os.kill(pid, signal.SIGKILL)
    assert isinstance(waiting.exception(PATIENCE), BrokenActor)
    if not has_place:
        gate.open()
    assert running.result(PATIENCE) == "passed"
    assert full_target.post((tasks.remember, "next"), timeout=PATIENCE).result(PATIENCE) == 1
    assert full_target.post((tasks.recall,)).result(PATIENCE) == ["next"]


async def wait_for_room_often(_actor, ref, gate, count):
    """Wait for room so many times; knock when the parent has heard of it."""
    sent = [asyncio.ensure_future(ref.apost((tasks.echo, n))) for n in range(count)]
    await asyncio.sleep(0)
    assert ref.is_alive()
    gate.knock()
    await asyncio.gather(*sent)


@observe.on_unix
def test_a_sender_that_dies_passes_thousands_of_turns_on(full_target, gates):
    gate, waits = gates(), gates()
    # That of the thread which finds the process dead, so that fewer turns would use it up.
    before = threading.stack_size(256 << 10)
    try:
        asker = asynchronous.ProcessAwaits.executor()
    finally:
        threading.stack_size(before)
    with asker:
        _, filling = bounded.fill(full_target, gate, 1)
        pid = asker.post((tasks.get_pid,)).result(PATIENCE)
        waiting = asker.post((wait_for_room_often, full_target, waits, 5000))
        waits.reached()
        # Then one of them is granted a place, and makes no use of it.
        os.kill(pid, signal.SIGSTOP)
        gate.open()
        assert filling.result(PATIENCE) == 0
        os.kill(pid, signal.SIGKILL)
        assert isinstance(waiting.exception(PATIENCE), BrokenActor)
        assert full_target.post((tasks.echo, 1), timeout=PATIENCE).result(PATIENCE) == 1


async def apost_to_itself(actor, number):
    me = current_actor()
    return [await me.apost((tasks.remember, n)) is not None for n in range(number)]


def test_an_actor_posts_to_itself_while_it_has_room():
    cls = asynchronous.ProcessAwaits.options(mailbox_size=2)
    with cls.executor() as executor:
        assert executor.post((apost_to_itself, 2)).result(PATIENCE) == [True, True]
        assert executor.post((tasks.recall,)).result(PATIENCE) == [0, 1]
        error = executor.post((apost_to_itself, 3)).exception(PATIENCE)
        assert isinstance(error, ActorDeadlock)
        assert error.circle == (executor.name,)


def test_a_sync_actor_that_waits_for_its_own_room_is_told_so(process):
    with bounded.start(process, 1) as executor:
        error = executor.post((relays.in_loop, apost_to_itself, 2)).exception(PATIENCE)
        assert isinstance(error, ActorDeadlock)
        assert "its own thread cannot wait for room" in str(error)


def start_two_places(body):
    """Start what handles two messages at a time, with a mailbox for one."""
    if body in (actors.ThreadDo, actors.ProcessDo):
        return body.pool(2, mailbox_size=1).executor(), relays.post_to_itself_later, tasks.pause
    executor = body.options(max_concurrency=2, mailbox_size=1).executor()
    return executor, relays.apost_to_itself_later, asynchronous.pause


@pytest.mark.parametrize(
    "body",
    [actors.ThreadDo, actors.ProcessDo, asynchronous.ThreadAwaits, asynchronous.ProcessAwaits],
)
def test_a_wait_for_its_own_room_ends_by_what_another_place_does(gates, body):
    begins, holds = gates(), gates()
    executor, post_later, pause = start_two_places(body)
    with executor:
        waiting = executor.post((post_later, begins))
        begins.reached()
        held = executor.post((pause, holds))
        holds.reached()
        filling = executor.post((tasks.echo, 0))
        try:
            begins.open()
            assert futures.wait([waiting], timeout=0.4).not_done  # it is looked at after 0.1 s
        finally:
            holds.open()
        assert (held.result(PATIENCE), filling.result(PATIENCE)) == ("passed", 0)
        assert waiting.result(PATIENCE) is None


@pytest.mark.parametrize("body", [asynchronous.ThreadAwaits, asynchronous.ProcessAwaits])
def test_a_task_beside_the_messages_of_an_actor_waits_for_its_room(gate, body):
    with body.options(mailbox_size=1).executor() as executor:
        begun = executor.post((relays.tell_itself_in_a_task, gate))
        gate.reached()
        filling = executor.post((tasks.echo, 0))
        gate.open()
        assert (begun.result(PATIENCE), filling.result(PATIENCE)) == (None, 0)
        assert executor.post((relays.await_task,)).result(PATIENCE) is None
        assert executor.post((tasks.recall,)).result(PATIENCE) == ["told"]


@pytest.mark.parametrize("body", [actors.ThreadDo, actors.ProcessDo])
def test_a_wait_for_the_room_of_a_pool_of_one_is_refused(gate, body):
    with body.pool(1, mailbox_size=1).executor() as pool:
        waiting = pool.post((relays.post_to_itself_later, gate))
        gate.reached()
        filling = pool.post((tasks.echo, 0))
        gate.open()
        assert isinstance(waiting.exception(PATIENCE), ActorDeadlock)
        assert filling.result(PATIENCE) == 0
