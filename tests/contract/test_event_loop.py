"""What an executor does in a thread whose event loop runs: it never waits there."""

import asyncio
import contextlib
import random
import threading

import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE


def full(kind, gate, size=1):
    """Start an actor whose `handle` waits at the gate and whose mailbox is full."""
    executor = kind.actor(actors.Do).options(mailbox_size=size).executor()
    executor.post((tasks.pause, gate))
    gate.reached()
    waiting = [executor.post((tasks.echo, number)) for number in range(size)]
    return executor, waiting


def in_loop(body):
    return asyncio.run(asyncio.wait_for(body(), PATIENCE))


def test_messages_to_a_full_mailbox_are_handled_in_order(kind, gate):
    executor, waiting = full(kind, gate)

    async def post():
        more = [executor.post((tasks.echo, number)) for number in range(1, 50)]
        assert not any(future.done() or future.running() for future in more)
        assert executor.stats().depth == 1
        gate.open()
        return await asyncio.gather(*waiting, *more)

    with executor:
        assert in_loop(post) == list(range(50))
        assert executor.stats().depth == 0
        assert executor.stats().handled == 51


def test_submit_and_proxies_do_not_wait_either(kind, gate):
    executor, _ = full(kind, gate)

    async def call():
        called = executor.submit(len, "abc"), executor.proxy().handle((tasks.echo, 7))
        gate.open()
        return await asyncio.gather(*called)

    with executor:
        assert in_loop(call) == [3, 7]


def test_a_cancelled_message_gives_up_its_turn(kind, gate):
    executor, waiting = full(kind, gate)

    async def post():
        first, second, third = (executor.post((tasks.echo, number)) for number in (1, 2, 3))
        assert second.cancel()
        assert first.cancel()
        assert second.cancelled()
        gate.open()
        return await asyncio.gather(*waiting, third)

    with executor:
        assert in_loop(post) == [0, 3]
    stats = executor.stats()
    assert (stats.depth, stats.cancelled, stats.handled) == (0, 2, 3)


def test_a_message_that_finds_no_room_in_time_fails(kind, gate):
    executor, waiting = full(kind, gate)

    async def post():
        late = executor.post((tasks.echo, 1), timeout=0.01)
        patient = executor.post((tasks.echo, 2), timeout=PATIENCE)
        with pytest.raises(futures_actors.MailboxFull, match="1 messages have not begun, and no"):
            await late
        gate.open()
        return await asyncio.gather(*waiting, patient)

    with executor:
        assert in_loop(post) == [0, 2]
    assert executor.stats().failed == 1


def test_a_message_without_time_is_refused_at_once(kind, gate):
    executor, _ = full(kind, gate)

    async def post():
        with pytest.raises(futures_actors.MailboxFull):
            executor.post((tasks.echo, 1), timeout=0)

    with executor:
        in_loop(post)
        gate.open()


def test_a_message_that_cannot_be_packed_fails_at_once(process, gate):
    executor, _ = full(process, gate)

    async def post():
        with pytest.raises(TypeError, match="cannot be pickled"):
            await executor.post((tasks.echo, threading.Lock()))

    with executor:
        in_loop(post)
        gate.open()


def test_a_message_is_packed_when_it_is_posted(process, gate):
    executor, _ = full(process, gate)

    async def post():
        message = [1]
        future = executor.post((tasks.echo, message))
        message.append(2)
        gate.open()
        return await future

    with executor:
        assert in_loop(post) == [1]


def test_shutdown_lets_the_waiting_messages_in(kind, gate):
    executor, waiting = full(kind, gate)

    async def post():
        more = [executor.post((tasks.echo, number)) for number in (1, 2, 3)]
        executor.shutdown(wait=False)
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.post((tasks.echo, 4))
        gate.open()
        return await asyncio.gather(*waiting, *more)

    assert in_loop(post) == [0, 1, 2, 3]
    executor.shutdown()


def test_shutdown_with_cancel_futures_cancels_the_waiting_messages(kind, gate):
    executor, waiting = full(kind, gate)

    async def post():
        more = [executor.post((tasks.echo, number)) for number in (1, 2, 3)]
        executor.shutdown(wait=False, cancel_futures=True)
        assert all(future.cancelled() for future in waiting + more)
        gate.open()

    in_loop(post)
    executor.shutdown()


def test_the_end_of_the_actor_ends_the_waiting_messages(kind, gate):
    executor, waiting = full(kind, gate)

    async def post():
        more = [executor.post((tasks.echo, number)) for number in (1, 2, 3)]
        executor.kill()
        if not kind.is_process:  # Ray kills later, and then this one could still answer
            gate.open()
        errors = await asyncio.gather(*waiting, *more, return_exceptions=True)
        assert all(isinstance(error, futures_actors.BrokenActor) for error in errors), errors

    in_loop(post)
    executor.shutdown()


def test_a_dropped_future_does_not_stop_its_message(kind, gate):
    executor, _ = full(kind, gate)

    async def post():
        executor.post((tasks.remember, "dropped"))
        gate.open()
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(post) == ["dropped"]


def test_messages_keep_their_order_while_places_become_free(kind):
    async def post():
        async with kind.actor(actors.Keeps).options(mailbox_size=2).executor() as executor:
            posted = []
            for number in range(500):
                posted.append(executor.post(number))
                if number % 7 == 0:
                    await posted[-1]
            await asyncio.gather(*posted)
            return await executor.post(None)

    assert in_loop(post) == list(range(500))


def test_without_a_loop_post_still_waits(kind, gate):
    executor, waiting = full(kind, gate)
    with executor:
        with pytest.raises(futures_actors.MailboxFull, match="no place became free in time"):
            executor.post((tasks.echo, 1), timeout=0.01)
        gate.open()
        assert waiting[0].result(PATIENCE) == 0


# atell, async with, ashutdown.


def test_atell_waits_for_room(kind, gate):
    executor, _ = full(kind, gate)

    async def tell():
        told = asyncio.ensure_future(executor.atell((tasks.remember, "told")))
        await asyncio.sleep(0.01)
        assert not told.done()
        gate.open()
        await told
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(tell) == ["told"]
    assert executor.stats().told == 1


def test_a_cancelled_atell_sends_nothing(kind, gate):
    executor, waiting = full(kind, gate)

    async def tell():
        told = asyncio.ensure_future(executor.atell((tasks.remember, "told")))
        await asyncio.sleep(0.01)
        told.cancel()
        with pytest.raises(asyncio.CancelledError):
            await told
        gate.open()
        await waiting[0]
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(tell) == []


# Code that blocks the loop while coroutines of it wait for room.


async def wait_for_room(executor, *numbers):
    """Start a task for each number, which waits for room, and then has the actor remember it."""
    sends = [executor.atell((tasks.remember, number)) for number in numbers]
    waiting = [asyncio.ensure_future(send) for send in sends]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    return waiting


def open_soon(gate):
    threading.Timer(0.01, gate.open).start()


def test_tell_goes_before_coroutines_of_the_loop_that_it_blocks(kind, gate):
    executor, _ = full(kind, gate)

    async def tell():
        waiting = await wait_for_room(executor, 1, 2)
        posting = asyncio.ensure_future(executor.apost((tasks.remember, 3)))
        await asyncio.sleep(0.01)
        open_soon(gate)
        for number in range(4, 7):
            executor.tell((tasks.remember, number), timeout=PATIENCE)
        await asyncio.gather(*waiting)
        await (await posting)
        return await executor.post((tasks.recall,))

    with executor:
        told = in_loop(tell)
        assert told[:3] == [4, 5, 6]
        assert sorted(told[3:]) == [1, 2, 3]


def test_tell_takes_a_place_that_a_coroutine_has_been_granted(kind, gate):
    executor, filling = full(kind, gate)

    async def tell():
        waiting = await wait_for_room(executor, 1)
        gate.open()
        # The loop stands still until the place is the coroutine's.
        filling[0].result(PATIENCE)
        executor.tell((tasks.remember, 2), timeout=PATIENCE)
        await asyncio.gather(*waiting)
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(tell) == [2, 1]


def test_tell_that_gives_up_leaves_the_coroutines_their_turns(kind, gate):
    executor, _ = full(kind, gate)

    async def tell():
        waiting = await wait_for_room(executor, 1, 2, 3)
        for timeout in (0, 0.01, 0.02):
            with pytest.raises(futures_actors.MailboxFull):
                executor.tell((tasks.remember, "late"), timeout=timeout)
        gate.open()
        await asyncio.gather(*waiting)
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(tell) == [1, 2, 3]


@pytest.mark.parametrize("cancelled", ["before", "after"])
def test_a_coroutine_that_tell_has_gone_before_can_be_cancelled(kind, gate, cancelled):
    executor, _ = full(kind, gate)

    async def tell():
        task, other = await wait_for_room(executor, 1, 2)
        if cancelled == "before":
            task.cancel()
        open_soon(gate)
        executor.tell((tasks.remember, 3), timeout=PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await other
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(tell) == [3, 2]


def test_tell_takes_no_turn_of_another_thread(kind, gate):
    executor, _ = full(kind, gate)

    async def tell():
        waiting = await wait_for_room(executor, 1)
        other = asyncio.ensure_future(asyncio.to_thread(executor.tell, (tasks.remember, 2)))
        await asyncio.sleep(0.05)
        assert not other.done()
        open_soon(gate)
        executor.tell((tasks.remember, 3), timeout=PATIENCE)
        await asyncio.gather(other, *waiting)
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(tell) == [3, 2, 1]


def test_shutdown_refuses_a_tell_before_coroutines(kind, gate):
    executor, _ = full(kind, gate)

    async def tell():
        waiting = await wait_for_room(executor, 1, 2)
        threading.Timer(0.01, executor.shutdown, [False]).start()
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.tell((tasks.remember, 3), timeout=PATIENCE)
        gate.open()
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert ["after shutdown" in str(error) for error in errors] == [True, True]

    in_loop(tell)
    executor.shutdown()


def test_imap_that_blocks_the_loop_goes_before_its_coroutines(kind, gate):
    executor, _ = full(kind, gate)

    async def take():
        waiting = await wait_for_room(executor, 1)
        open_soon(gate)
        messages = [(tasks.remember, number) for number in (2, 3)]
        assert len(list(executor.imap(messages, timeout=PATIENCE))) == 2
        await asyncio.gather(*waiting)
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(take) == [2, 3, 1]


def test_tell_goes_before_an_imap_of_the_loop_that_it_blocks(kind, gate):
    executor, _ = full(kind, gate)

    async def take():
        return [answer async for answer in executor.imap([(tasks.echo, n) for n in range(9)])]

    async def tell():
        taking = asyncio.ensure_future(take())
        await asyncio.sleep(0.01)
        open_soon(gate)
        executor.tell((tasks.remember, "told"), timeout=PATIENCE)
        assert await taking == list(range(9))
        return await executor.post((tasks.recall,))

    with executor:
        assert in_loop(tell) == ["told"]


def test_post_goes_before_coroutines_of_a_loop_that_has_been_stopped(kind, gate):
    executor, _ = full(kind, gate)
    loop = asyncio.new_event_loop()
    with executor:
        waiting = loop.run_until_complete(wait_for_room(executor, 1))
        open_soon(gate)
        # No loop runs here now.
        executor.post((tasks.remember, 2), timeout=PATIENCE).result(PATIENCE)
        loop.run_until_complete(asyncio.gather(*waiting))
        assert executor.post((tasks.recall,)).result(PATIENCE) == [2, 1]
    loop.close()


def test_tell_to_a_member_goes_before_coroutines_that_wait_for_the_pool(local_kind, gate):
    pool = local_kind.actor(actors.Do).pool(1, mailbox_size=1).executor()

    async def tell():
        pool.post((tasks.pause, gate))
        await asyncio.to_thread(gate.reached)
        pool.post((tasks.echo, 0))
        waiting = await wait_for_room(pool, 1)
        open_soon(gate)
        pool.members[0].tell((tasks.remember, 2), timeout=PATIENCE)
        await asyncio.gather(*waiting)
        return await pool.post((tasks.recall,))

    with pool:
        assert in_loop(tell) == [2, 1]


def send_from_a_loop_and_from_threads(executor, seed):
    """Send by all ways at once; return what a loop has sent, and what the actor has handled."""
    dice = random.Random(seed)
    told, waiting = [], []

    async def wait_for_room(number):
        await (executor.atell if number % 2 else executor.apost)((seed, "loop", number))
        return number

    async def send(number):
        choice = dice.choice(["wait", "wait", "tell", "try", "turn", "cancel"])
        if choice == "wait":
            waiting.append(asyncio.ensure_future(wait_for_room(number)))
        elif choice in ("tell", "try"):
            timeout = PATIENCE if choice == "tell" else dice.choice([0, 0.0002, 0.002])
            with contextlib.suppress(futures_actors.MailboxFull):
                executor.tell((seed, "loop", number), timeout=timeout)
                told.append(number)
        elif choice == "turn":
            await asyncio.sleep(0)
        elif waiting:
            dice.choice(waiting).cancel()

    async def send_all():
        for number in range(300):
            await send(number)
        for one in await asyncio.gather(*waiting, return_exceptions=True):
            if not isinstance(one, asyncio.CancelledError):
                told.append(one)

    def tell(name):
        for number in range(100):
            executor.tell((seed, name, number), timeout=PATIENCE)

    threads = [threading.Thread(target=tell, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    in_loop(send_all)
    for thread in threads:
        thread.join()
    handled = executor.post(None).result(PATIENCE)
    return told, [(name, number) for at, name, number in handled if at == seed]


def test_all_who_wait_for_room_get_it_while_some_block_their_loop(local_kind):
    with local_kind.actor(actors.Keeps).options(mailbox_size=3).executor() as executor:
        for seed in range(10):
            told, handled = send_from_a_loop_and_from_threads(executor, seed)
            by = {name: [n for who, n in handled if who == name] for name in ("loop", "a", "b")}
            assert sorted(by["loop"]) == sorted(told)
            assert by["a"] == by["b"] == list(range(100))


def test_async_with_does_not_block_the_loop(kind, gate):
    async def run():
        async with kind.start(actors.Do) as executor:
            future = executor.post((tasks.pause, gate))
            gate.reached()
            asyncio.get_running_loop().call_later(0.01, gate.open)
        assert future.done()
        assert executor.stats().state == "stopped"

    in_loop(run)


def test_a_cancelled_aexit_goes_on_shutting_down(kind, gate):
    async def run():
        executor = kind.start(actors.Do)

        async def use():
            async with executor:
                future = executor.post((tasks.pause, gate))
                gate.reached()
                entered.set_result(future)

        entered = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(use())
        future = await entered
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.post((tasks.echo, 1))
        gate.open()
        assert await future == "passed"
        await executor.ashutdown()
        assert executor.stats().state == "stopped"

    in_loop(run)


def test_ashutdown_keeps_to_its_timeout(kind, gate):
    async def run():
        executor = kind.start(actors.Do)
        future = executor.post((tasks.pause, gate))
        gate.reached()
        with pytest.raises(TimeoutError):
            await executor.ashutdown(timeout=0.01)
        gate.open()
        await executor.ashutdown(PATIENCE)
        assert await future == "passed"

    in_loop(run)


def test_ashutdown_cancels_what_has_not_begun_if_told_to(kind, gate):
    async def run():
        executor, waiting = full(kind, gate)
        asyncio.get_running_loop().call_later(0.01, gate.open)
        await executor.ashutdown(cancel_futures=True)
        assert waiting[0].cancelled()

    in_loop(run)
