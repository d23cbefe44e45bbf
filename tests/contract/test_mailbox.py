"""A bounded mailbox: `post` waits for room, `MailboxFull`, and which waiter is woken."""

import os
import signal
import threading
import time
from concurrent import futures

import pytest

import actors
import futures_actors
import observe
import programs
import tasks
from bounded import fill, start
from futures_actors import MailboxFull
from gates import PATIENCE


def post_from_thread(executor, *messages, **options):
    """Post from another thread; return it, and a list that gets each future or error."""
    got = []

    def post():
        for message in messages:
            try:
                got.append(executor.post(message, **options))
            except Exception as error:
                got.append(error)

    thread = threading.Thread(target=post)
    thread.start()
    return thread, got


@pytest.mark.parametrize("size", [1, 2, 20, 600])
def test_as_many_messages_as_said_are_accepted_and_not_begun(kind, gate, size):
    with start(kind, size) as executor:
        posted = fill(executor, gate, size)
        text = f"the mailbox of actor {kind.prefix}Do is full: {size} messages have not begun"
        for _ in range(2):
            with pytest.raises(MailboxFull, match=text):
                executor.post((tasks.echo, "too many"), timeout=0)
        gate.open()
        assert [future.result(PATIENCE) for future in posted] == ["passed", *range(size)]
        assert executor.post((tasks.echo, "more"), timeout=0).result(PATIENCE) == "more"


@pytest.mark.parametrize("size", [1, 3])
def test_what_waits_for_the_constructor_has_not_begun(kind, gate, size):
    with start(kind, size, actors.Waits, gate) as executor:
        gate.reached()
        posted = [executor.post(number, timeout=0) for number in range(size)]
        with pytest.raises(MailboxFull):
            executor.post("too many", timeout=0)
        gate.open()
        assert [future.result(PATIENCE) for future in posted] == list(range(size))


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "7"])
def test_a_bad_size_is_refused(kind, bad):
    with pytest.raises((TypeError, ValueError), match="mailbox_size must"):
        start(kind, bad)


def test_post_waits_for_room(kind, gate):
    with start(kind, 2) as executor:
        fill(executor, gate, 2)
        thread, got = post_from_thread(executor, *((tasks.echo, number) for number in range(50)))
        thread.join(0.1)
        assert thread.is_alive()
        gate.open()
        thread.join(PATIENCE)
        assert [future.result(PATIENCE) for future in got] == list(range(50))


def test_room_is_made_when_a_message_begins(kind, gates):
    """And not only when it is answered."""
    first, second = gates(), gates()
    with start(kind, 1) as executor:
        executor.post((tasks.pause, first))
        first.reached()
        executor.post((tasks.pause, second))
        thread, got = post_from_thread(executor, (tasks.echo, "third"))
        thread.join(0.1)
        assert thread.is_alive()
        first.open()
        second.reached()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert not got[0].done()
        second.open()
        assert got[0].result(PATIENCE) == "third"


def test_a_post_that_comes_when_room_was_made_finds_it(kind, gates):
    first, second = gates(), gates()
    with start(kind, 1) as executor:
        executor.post((tasks.pause, first))
        first.reached()
        executor.post((tasks.pause, second))
        first.open()
        second.reached()
        assert not executor.post((tasks.echo, 1), timeout=0).done()
        second.open()


def test_room_is_made_by_a_cancellation(kind, gate):
    with start(kind, 2) as executor:
        posted = fill(executor, gate, 2)
        thread, got = post_from_thread(executor, (tasks.echo, "third"))
        thread.join(0.05)
        assert posted[1].cancel()
        thread.join(PATIENCE)
        assert posted[2].cancel()
        late = executor.post((tasks.echo, "late"), timeout=0)
        gate.open()
        assert got[0].result(PATIENCE) == "third"
        assert late.result(PATIENCE) == "late"


def test_a_message_that_cannot_be_sent_takes_no_room(process, gate):
    with start(process, 1) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        for _ in range(3):
            assert executor.post(threading.Lock(), timeout=0).exception(0) is not None
        executor.post((tasks.echo, 1), timeout=0)
        gate.open()


def test_functions_share_the_room(kind, gate):
    with start(kind, 1) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        executor.submit(abs, -1)
        with pytest.raises(MailboxFull):
            executor.post(1, timeout=0)
        gate.open()
        assert list(executor.map(abs, range(20))) == list(range(20))


def test_post_gives_up_after_its_timeout(kind, gate):
    with start(kind, 1) as executor:
        fill(executor, gate, 1)
        start_time = time.monotonic()
        with pytest.raises(MailboxFull, match="no place became free in time"):
            executor.post(1, timeout=0.1)
        assert time.monotonic() - start_time >= 0.1
        gate.open()
        assert executor.post((tasks.echo, 1), timeout=PATIENCE).result(PATIENCE) == 1


def test_a_post_that_gave_up_is_passed_over(kind, gate):
    with start(kind, 1) as executor:
        fill(executor, gate, 1)
        impatient, _ = post_from_thread(executor, (tasks.echo, 1), timeout=0.05)
        patient, got = post_from_thread(executor, (tasks.echo, 2))
        impatient.join(PATIENCE)
        gate.open()
        patient.join(PATIENCE)
        assert got[0].result(PATIENCE) == 2


@observe.on_linux
def test_posts_that_wait_for_room_are_served_in_turn(kind, gate):
    with start(kind, 1) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        executor.post((tasks.remember, "first"))
        threads = []
        for number in range(5):
            threads.append(post_from_thread(executor, (tasks.remember, number))[0])
            observe.wait_until_asleep(os.getpid(), threads[-1].native_id)
        gate.open()
        for thread in threads:
            thread.join(PATIENCE)
        log = executor.post((tasks.recall,)).result(PATIENCE)
    assert log == ["first", *range(5)]


@pytest.mark.parametrize("wait", [True, False])
def test_shutdown_refuses_posts_that_wait_for_room(kind, gate, wait):
    with start(kind, 1) as executor:
        posted = fill(executor, gate, 1)
        thread, got = post_from_thread(executor, (tasks.echo, 1))
        thread.join(0.05)
        closer = threading.Thread(target=executor.shutdown, args=(wait,))
        closer.start()
        thread.join(PATIENCE)
        assert str(got[0]) == "cannot schedule new futures after shutdown"
        gate.open()
        closer.join(PATIENCE)
        assert posted[-1].result(PATIENCE) == 0


def test_death_refuses_posts_that_wait_for_room(process, gate):
    with start(process, 1) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        fill(executor, gate, 1)
        thread, got = post_from_thread(executor, (tasks.echo, 1))
        thread.join(0.05)
        os.kill(pid, tasks.KILL)
        thread.join(PATIENCE)
        assert isinstance(got[0], futures_actors.ActorDied)


def test_a_failed_constructor_refuses_posts_that_wait_for_room(kind, gate):
    executor = start(kind, 1, actors.Fails, KeyError("k"), gate)
    gate.reached()
    executor.post(1)
    thread, got = post_from_thread(executor, 2)
    thread.join(0.05)
    gate.open()
    thread.join(PATIENCE)
    assert isinstance(got[0], futures_actors.ActorInitError)
    executor.shutdown()


def post_to_itself(actor, box):
    errors = []
    for number in range(3):
        try:
            box[0].post((tasks.echo, number), timeout=PATIENCE)
        except MailboxFull as error:
            errors.append(str(error))
    return errors


def test_an_actor_that_posts_to_itself_does_not_wait_for_itself(thread):
    with start(thread, 2) as executor:
        (error,) = executor.post((post_to_itself, [executor])).result(PATIENCE)
        assert "its own thread cannot wait for room" in error


def test_a_callback_that_posts_to_its_actor_does_not_wait_for_it(kind, gates):
    first, second = gates(), gates()
    got = []

    def post_more(_):
        for number in range(4):
            try:
                got.append(executor.post((tasks.echo, number)))
            except MailboxFull as error:
                got.append(error)

    with start(kind, 2) as executor:
        future = executor.post((tasks.pause, first))
        future.add_done_callback(post_more)
        executor.post((tasks.pause, second))
        first.reached()
        first.open()
        programs.wait_until(lambda: len(got) == 4, PATIENCE)
        second.open()
    # Whether the second message has begun by then depends on whose thread runs callbacks.
    full = [type(one) is MailboxFull for one in got]
    if kind.is_async and not kind.is_process:
        # There an event loop runs, where the futures wait for room.
        assert full == [False] * 4
    else:
        assert full in ([False, True, True, True], [False, False, True, True])


@observe.on_linux
@observe.on_unix
def test_ctrl_c_interrupts_a_post_that_waits_for_room(kind, program):
    parent = program(f"""if True:
        import actors, os, tasks
        executor = actors.{kind.prefix}Do.options(mailbox_size=1).executor()
        executor.post((tasks.nap, 60))
        executor.post((tasks.echo, 1), timeout=20)
        print("waiting")
        try:
            executor.post((tasks.echo, 2))
        except KeyboardInterrupt:
            print("interrupted")
        os._exit(0)
    """)
    assert parent.line() == "waiting"
    observe.wait_until_asleep(parent.pid, parent.pid)
    parent.signal(signal.SIGINT)
    assert parent.line() == "interrupted"  # there will be no room for a minute


def test_other_threads_run_while_one_waits_for_room(kind, gate):
    with start(kind, 1) as executor:
        fill(executor, gate, 1)
        thread, _ = post_from_thread(executor, (tasks.echo, 1))
        assert sum(range(100_000)) == 4999950000
        gate.open()
        thread.join(PATIENCE)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_many_senders_race_for_little_room(kind, size):
    """No place is lost and no post sleeps on, while others cancel, give up or are served."""
    with start(kind, size, actors.Echo) as executor:

        def send(sender):
            kept = []
            for number in range(150):
                try:
                    future = executor.post(
                        (sender, number), timeout=[None, 0.0005][number % 3 == 0]
                    )
                except MailboxFull:
                    continue
                if number % 5 or not future.cancel():
                    kept.append((future, (sender, number)))
            return kept

        with futures.ThreadPoolExecutor(6) as pool:
            kept = [one for found in pool.map(send, range(6)) for one in found]
        assert len(kept) > 100
        assert all(future.result(PATIENCE) == message for future, message in kept)
        # As much room as in the beginning.
        executor.post(0).result(PATIENCE)


# What was cancelled.

KEEPS_NOTHING = """
import resource, sys
import actors, gates, tasks

gate = gates.Gate({path!r})

def peak():
    units = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units

with actors.actor_class(actors.Do, {base!r}).options(mailbox_size={size}).executor() as executor:
    running = executor.post((tasks.pause, gate))
    gate.reached()
    for number in range(10_000):
        assert executor.post((tasks.echo, number)).cancel()
    before = peak()
    for number in range(200_000):
        assert executor.post((tasks.echo, number)).cancel()
    print(peak() - before)
    gate.open()
"""


@observe.on_unix
@pytest.mark.parametrize("size", [2, None])
def test_messages_that_were_cancelled_leave_nothing_behind(kind, gate, script, size):
    """Although the actor is stuck, so that it never comes to them: 200,000 were 25 MB."""
    source = KEEPS_NOTHING.format(path=gate.path, base=kind.base, size=size)
    more_mib = float(script(source).check().out)
    assert more_mib < 8


def test_messages_between_many_that_were_cancelled_keep_their_order(kind, gate):
    with kind.start(actors.Do) as executor:
        running = executor.post((tasks.pause, gate))
        gate.reached()
        kept = []
        for number in range(5_000):
            future = executor.post((tasks.remember, number))
            if number % 10:
                assert future.cancel()
            else:
                kept.append(future)
        gate.open()
        assert running.result(PATIENCE) == "passed"
        assert [future.result(PATIENCE) for future in kept] == list(range(1, 501))
        handled = executor.post((tasks.recall,)).result(PATIENCE)
    assert handled == list(range(0, 5_000, 10))
