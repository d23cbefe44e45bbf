"""Actors that wait for each other: each message says how, and who is next on the way."""

import asyncio
import sys
import weakref

import relays
import tasks
from futures_actors import ActorDeadlock, _event_loop, current_actor
from gates import PATIENCE


def go(way, how="await"):
    """Send the rest of a way to its first actor. Each is `(ref, whether it is async)`."""
    (ref, is_async), *rest = way
    return ref.post((await_next if is_async else wait_for_next, rest, how))


def wait_for_next(_actor, way, how):
    return go(way, how).result() if way else "at the end"


async def await_next(_actor, way, how):
    return await HOWS[how](go(way, how)) if way else "at the end"


async def plainly(future):
    return await future


async def gather(future):
    answer, _ = await asyncio.gather(future, asyncio.sleep(0.05))
    return answer


async def wait_for(future):
    return await asyncio.wait_for(future, PATIENCE)


async def wait(future):
    inner = asyncio.ensure_future(future)
    await asyncio.wait({inner, asyncio.ensure_future(nothing())})
    return inner.result()


async def first(future):
    inner = asyncio.ensure_future(future)
    await asyncio.wait({inner}, return_when=asyncio.FIRST_COMPLETED)
    return inner.result()


async def task(future):
    inner = asyncio.ensure_future(future)
    return await asyncio.ensure_future(plainly(inner))


async def group(future):
    async with asyncio.TaskGroup() as tasks:
        started = tasks.create_task(plainly(future))
        tasks.create_task(nothing())
    return started.result()


async def timeout(future):
    async with asyncio.timeout(PATIENCE):
        return await future


async def nothing():
    pass


#: The ways to await a future that only it can end, or a timeout.
HOWS = {
    "await": plainly,
    "gather": gather,
    "wait_for": wait_for,
    "wait": wait,
    "first": first,
    "task": task,
}
if sys.version_info >= (3, 11):
    HOWS |= {"group": group, "timeout": timeout}


async def or_a_timer(future):
    inner = asyncio.ensure_future(future)
    timer = asyncio.ensure_future(asyncio.sleep(0.5, "timer"))
    done, _ = await asyncio.wait({inner, timer}, return_when=asyncio.FIRST_COMPLETED)
    inner.cancel()
    return next(one.result() for one in done)


async def in_parts(future):
    """Wait again and again, a little each time."""
    inner = asyncio.ensure_future(future)
    for _ in range(5):
        await asyncio.wait({inner}, timeout=0.12)
    inner.cancel()
    return "in parts"


async def until_a_task_cancels(future):
    """Another task of the same message ends the wait."""
    inner = asyncio.ensure_future(future)

    async def end():
        await asyncio.sleep(0.5)
        inner.cancel()
        return "cancelled"

    return (await asyncio.gather(inner, end(), return_exceptions=True))[1]


async def until_an_event(future):
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, event.set)
    inner = asyncio.ensure_future(future)
    await event.wait()
    inner.cancel()
    return "event"


def until_a_task_ends(steps):
    """The awaits are looked at so many steps of the loop after another task has ended the wait."""

    async def wait(future):
        loop = asyncio.get_running_loop()
        inner = asyncio.ensure_future(future)

        def look(steps):
            if steps:
                loop.call_soon(look, steps - 1)
            else:
                _event_loop._here.runner.awaits._look()

        async def end():
            await asyncio.sleep(0.5)
            look(steps)
            return "ended"

        other = asyncio.ensure_future(end())
        await asyncio.wait({inner, other}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)  # it would end by now if it was refused
        assert not inner.done()
        inner.cancel()
        return other.result()

    return wait


#: Ways to await a future that something else ends, too.
OTHERS = {
    "ended": until_a_task_ends(1),
    "told": until_a_task_ends(2),
    "timer": or_a_timer,
    "in parts": in_parts,
    "cancelled": until_a_task_cancels,
    "event": until_an_event,
}


async def await_with_others(_actor, way, how):
    return await OTHERS[how](go(way))


async def give_up_and_block(_actor, ref, gate, message):
    """Await an answer in vain, and then block the event loop until the gate opens."""
    try:
        await asyncio.wait_for(ref.post(message), 0.3)
    except asyncio.TimeoutError:
        gate.wait()
        return "gave up"


async def ask_later(_actor, ref, gate, message):
    """Post to another actor when the gate opens, and await its answer."""
    await asyncio.to_thread(gate.wait)
    return await ref.post(message)


async def await_answer(_actor, ref, message):
    return await ref.post(message)


def stream_answer(_actor, ref, message):
    yield ref.post(message).result()


async def stream_awaited_answer(_actor, ref, message):
    yield await ref.post(message)


async def find_by_room(_actor, ref, is_async):
    """Fill the mailbox of an actor that asks this one for each message; return the circle."""
    ask = await_answer if is_async else relays.ask
    message = ask, current_actor(), (tasks.echo, "answered")
    try:
        posted = [await ref.apost(message) for _ in range(3)]
        return [await one for one in posted]
    except ActorDeadlock as error:
        return sorted(error.circle)


async def find_by_item(_actor, ref, is_async):
    """Take from a stream that asks this actor for each item; return the circle."""
    ask = stream_awaited_answer if is_async else stream_answer
    try:
        async for item in ref.stream((ask, current_actor(), (tasks.echo, "answered"))):
            return item
    except ActorDeadlock as error:
        return sorted(error.circle)


async def let_go_after_a_wait(_actor):
    """Let go of an object after a wait that was looked at; return whether that has freed it."""
    loop = asyncio.get_running_loop()
    thing = asyncio.Event()
    has_it = weakref.ref(thing)
    waits = loop.create_future()
    loop.call_soon(_event_loop._here.runner.awaits._look)
    loop.call_soon(waits.set_result, None)
    await waits
    del thing
    return has_it() is None


def circle_inside(_actor, body, is_async):
    """Start actors in this process that wait for each other; return the names of the circle."""
    with (
        body.options(name="inner 0").executor() as one,
        body.options(name="inner 1").executor() as two,
    ):
        error = go([(one, is_async), (two, is_async), (one, is_async)]).exception(PATIENCE)
    assert isinstance(error, ActorDeadlock)
    return sorted(error.circle)
