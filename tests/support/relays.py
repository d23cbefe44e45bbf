"""What an actor does with references to other actors: messages for `actors.Do` and `Holder`."""

import asyncio
import gc
import os
import threading
import time
from concurrent import futures

import tasks
from futures_actors import (
    ActorDeadlock,
    ActorFuture,
    ActorRef,
    BrokenActor,
    MailboxFull,
    current_actor,
)
from gates import PATIENCE


def deadlock_among(*posted):
    """Return the `ActorDeadlock` of the one message that has failed."""
    errors = [future.exception(PATIENCE) for future in posted]
    (found,) = [error for error in errors if error is not None]
    assert isinstance(found, ActorDeadlock)
    return found


def ask(_actor, ref, message):
    """Post to another actor and wait for its answer."""
    return ref.post(message).result(PATIENCE)


def ask_held(actor, message):
    return ask(actor, actor.ref, message)


def hold(actor, ref):
    actor.ref = ref


def let_go(actor):
    del actor.ref
    gc.collect()


def give_back(_actor, ref):
    return ref


def describe(_actor, ref):
    return type(ref) is ActorRef, ref.name, ref.is_alive(), repr(ref), ref == ref, dir(ref.proxy())


def every_kind(_actor, ref, path):
    """Send a message of each kind."""
    ref.tell((tasks.append_to, path, "told"))
    answers = ref.submit(divmod, 7, 2), ref.proxy().handle((tasks.echo, "method"))
    return [answer.result(PATIENCE) for answer in answers]


def all_in_order(_actor, ref, count):
    sent = [ref.post((tasks.remember, number)) for number in range(count)]
    for one in sent:
        one.result(PATIENCE)
    return ref.post((tasks.recall,)).result(PATIENCE)


def cancel_around(_actor, ref, gate):
    """Cancel a message behind one that runs, and try to cancel the one that runs."""
    running = ref.post((tasks.pause, gate))
    gate.reached()
    waiting = ref.post((tasks.remember, "cancelled"))
    found = running.running(), waiting.running(), waiting.cancel(), running.cancel()
    found += waiting.cancelled(), waiting.done(), running.done()
    gate.open()
    return found, running.result(PATIENCE)


def error_of(_actor, ref, message):
    error = ref.post(message).exception(PATIENCE)
    return type(error), str(error), str(error.__cause__)


def errors_around_death(_actor, ref, gate, message):
    """Return what becomes of the message that ends the actor, and of those behind it."""
    ref.post((tasks.pause, gate))
    sent = [ref.post(message), *(ref.post((tasks.echo, number)) for number in range(3))]
    gate.open()
    errors = [one.exception(PATIENCE) for one in sent]
    try:
        later = ref.post((tasks.echo, 0)).exception(PATIENCE)
    except BrokenActor as error:
        later = error
    return [(type(error), error.started) for error in errors], type(later), ref.is_alive()


def callbacks(_actor, ref):
    """Wait for answers in every way but `result`."""
    found, done = [], threading.Event()

    def posts_again(future):
        found.append(future.result())
        # It waits itself, so another thread must read the answer.
        found.append(ref.post((tasks.echo, "again")).result(PATIENCE))
        done.set()

    ref.post((tasks.echo, "callback")).add_done_callback(posts_again)
    assert done.wait(PATIENCE)
    sent = [ref.post((tasks.echo, number)) for number in range(10)]
    found.append(sorted(one.result() for one in futures.as_completed(sent, PATIENCE)))

    async def main():
        return await ref.post((tasks.echo, "awaited"))

    found.append(asyncio.run(main()))
    return found


def by_threads(_actor, ref, threads, each):
    """Ask from several threads at once."""
    with futures.ThreadPoolExecutor(threads) as pool:

        def work(thread):
            messages = [(tasks.echo, (thread, number)) for number in range(each)]
            return [ref.post(message).result(PATIENCE) == message[1] for message in messages]

        return all(all(found) for found in pool.map(work, range(threads)))


def fill(_actor, ref, gate):
    """Fill a mailbox of one place, and wait for room."""
    running = ref.post((tasks.pause, gate))
    gate.reached()
    waiting = ref.post((tasks.remember, 1))
    refused = []
    for send in (ref.post, ref.tell):
        try:
            send((tasks.remember, "refused"), timeout=0.01)
        except MailboxFull as error:
            refused.append(str(error))
    opener = threading.Timer(0.05, gate.open)
    opener.start()
    last = ref.post((tasks.remember, 2))
    opener.join()
    answers = [one.result(PATIENCE) for one in (running, waiting, last)]
    return refused, answers, ref.post((tasks.recall,)).result(PATIENCE)


def post_and_die(_actor, ref, gate):
    """End this process while the other actor has messages of it."""
    ref.post((tasks.pause, gate))
    gate.reached()
    ref.post((tasks.remember, "of a dead actor"))
    # The parent has it when it has answered this.
    assert ref.is_alive()
    os.kill(os.getpid(), tasks.KILL)


def make_and_drop(_actor, refs):
    """Use references and drop them."""
    return [ref.post((tasks.echo, number)).result(PATIENCE) for number, ref in enumerate(refs)]


def pass_on(_actor, first, then, message):
    """Have `first` send a message to `then`."""
    return first.post((ask, then, message)).result(PATIENCE)


def double(_actor, array):
    return array * 2


def pass_along(_actor, way, timeout=None):
    """Have the first actor of `way` pass the rest along, and wait for that."""
    first, *rest = way
    return first.post((pass_along, rest, timeout)).result(timeout)


def find_circle(_actor, way):
    """Like `pass_along`; the actor whose wait would close a circle answers with the circle."""
    first, *rest = way
    try:
        return first.post((find_circle, rest)).result()
    except ActorDeadlock as error:
        return error.circle


def wait_for_itself(_actor, me, how, *args):
    return getattr(me.post((tasks.echo, 1)), how)(*args)


def ask_later(_actor, ref, gate, message):
    """Post to another actor when the gate opens, and wait for its answer."""
    gate.wait()
    return ref.post(message).result()


def fill_up(_actor, ref, gate, count):
    """Post more than a mailbox has room for, when the gate opens."""
    gate.wait()
    for number in range(count):
        ref.tell((tasks.remember, number), timeout=PATIENCE)


def give_up_and_go_on(_actor, ref, gate, timeout):
    """Wait for an answer in vain, and return when the gate opens."""
    try:
        ref.post((tasks.echo, 1)).result(timeout)
    except futures.TimeoutError:
        gate.wait()
        return "gave up"


def wait_in_a_thread(_actor, ref, gate):
    """Wait in a thread of this process, while the actor's own thread is free."""
    with_answer = []

    def wait():
        with_answer.append(ref.post((tasks.echo, "answered")).result(PATIENCE))
        gate.knock()

    threading.Thread(target=wait).start()


def current_elsewhere(_actor):
    """Ask for the current actor where no code of an actor runs: in a thread and in a callback."""
    found = []

    def look(_=None):
        try:
            current_actor()
        except RuntimeError as error:
            found.append(str(error).split(":")[0])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    future = current_actor().submit(int)
    assert future.cancel()
    other = ActorFuture()
    other.add_done_callback(look)
    other.set_result(None)
    return found


def tell_itself(_actor, count):
    me = current_actor()
    for number in range(count):
        me.tell((tasks.remember, number))
    return me.is_alive()


def post_to_itself_later(_actor, gate):
    gate.wait()
    current_actor().post((tasks.remember, "posted"))


async def apost_to_itself_later(_actor, gate):
    await asyncio.to_thread(gate.wait)
    await current_actor().apost((tasks.remember, "posted"))


async def tell_itself_in_a_task(actor, gate):
    """Have a task that is no message's wait for room."""
    await asyncio.to_thread(gate.wait)
    actor.task = asyncio.create_task(current_actor().atell((tasks.remember, "told")))
    await asyncio.sleep(0)


async def await_task(actor):
    await actor.task


def send_itself(_actor, ref):
    ref.post((tasks.remember, current_actor())).result(PATIENCE)
    return current_actor()


def wait_until(is_true):
    """Look again and again, for what nothing tells of."""
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def look_at_pool(_actor, known):
    pool = known if known.index is None else known.pool
    members = pool.members
    return {
        "kind": type(pool).__name__,
        "len": len(pool),
        "indices": [member.index for member in members],
        "names": [member.name for member in members],
        "members": members,
        "pool": members[0].pool,
        "same": all(member.pool == pool for member in members) and members[1] == pool.members[1],
        "alive": [pool.is_alive(), *(member.is_alive() for member in members)],
    }


def by_keys(_actor, pool, keys):
    """Return the members that have these keys, and those that handled messages with them."""
    went = [pool.post((tell_who,), key=key) for key in keys]
    return [pool.keyed(key) for key in keys], [one.result(PATIENCE) for one in went]


def tell_who(_actor):
    return current_actor()


def remember_by_key(_actor, pool, key, count):
    sent = [pool.post((tasks.remember, number), key=key) for number in range(count)]
    for one in sent:
        one.result(PATIENCE)


def bad_keys(_actor, pool):
    texts = []
    for key in (object(), [], frozenset(), ("a", []), ("a", object())):
        for use in (pool.keyed, lambda key: pool.post(None, key=key)):
            try:
                use(key)
            except TypeError as error:
                text = str(error)
        texts.append(text)
    return texts


def broadcast(_actor, pool, message):
    sent = pool.broadcast(message)
    return len([one.result(PATIENCE) for one in sent])


def broadcast_held(actor, message):
    return broadcast(actor, actor.ref, message)


def is_held_alive(actor):
    return actor.ref.is_alive()


def in_loop(actor, function, *args):
    """Run a coroutine function in an event loop of its own."""
    return asyncio.run(function(actor, *args))
