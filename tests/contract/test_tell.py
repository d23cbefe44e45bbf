"""`tell`: messages without a future, in mailbox order; and what becomes of what they raise."""

import logging
import os
import sys
import threading

import pytest

import actors
import futures_actors
import programs
import tasks
from gates import PATIENCE


def errors_in(caplog):
    return [record for record in caplog.records if record.name == "futures_actors"]


def test_told_messages_are_handled_in_order_with_the_others(kind):
    with kind.start(actors.Do) as executor:
        for number in range(100):
            if number % 3:
                assert executor.tell((tasks.remember, number)) is None
            else:
                executor.post((tasks.remember, number))
        assert executor.post((tasks.recall,)).result(PATIENCE) == list(range(100))


@pytest.mark.parametrize("count", [1, 40, 600, 3000])
def test_told_messages_are_handled_however_many(kind, count):
    """More of them than are sent ahead to a process at once, and no answer comes back in
    between."""
    with kind.start(actors.Counter) as executor:
        for _ in range(count):
            executor.tell(1)
        assert executor.post(0).result(PATIENCE) == count


def test_large_told_messages_leave_the_window(process):
    with process.start(actors.Do) as executor:
        for _ in range(8):
            executor.tell((tasks.remember, bytes(1 << 20)))
        assert len(executor.post((tasks.recall,)).result(PATIENCE)) == 8


def test_shutdown_drains_what_was_told(kind, tmp_path):
    path = tmp_path / "handled"
    executor = kind.start(actors.Do)
    for number in range(700):
        executor.tell((tasks.append_to, path, f"{number}\n"))
    executor.shutdown()
    assert [int(line) for line in path.read_text().split()] == list(range(700))


def test_a_dropped_executor_handles_what_was_told(kind, tmp_path):
    path = tmp_path / "handled"
    executor = kind.start(actors.Do)
    executor.tell((tasks.append_to, path, "yes"))
    del executor
    programs.wait_until(lambda: path.exists() and path.read_text() == "yes", PATIENCE)


def test_what_a_told_message_raises_is_logged_and_harms_nothing(kind, caplog):
    with kind.start(actors.Do) as executor:
        executor.tell((tasks.fail, ValueError("told in vain")))
        executor.tell((tasks.exit_politely, 3))
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"
    first, second = errors_in(caplog)
    text = f"actor {kind.prefix}Do: handle of a message sent by tell raised an exception"
    for record in (first, second):
        assert (record.levelno, record.getMessage()) == (logging.ERROR, text)
    shown = first.exc_text or logging.Formatter().formatException(first.exc_info)
    assert "in fail" in shown
    assert shown.endswith("ValueError: told in vain")


def test_a_told_message_that_cannot_be_sent_is_the_callers_error(process):
    with process.start(actors.Do) as executor:
        with pytest.raises(TypeError, match="the message for actor ProcessDo"):
            executor.tell(threading.Lock())
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_tell_after_shutdown_is_refused(kind):
    executor = kind.start(actors.Do)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.tell((tasks.echo, 1))


def test_tell_to_a_broken_actor_is_refused(kind):
    executor = kind.start(actors.Fails, KeyError("k"))
    executor.shutdown()
    with pytest.raises(futures_actors.ActorInitError):
        executor.tell(1)


def test_told_messages_share_the_room_of_a_mailbox(kind, gate):
    with kind.actor(actors.Do).options(mailbox_size=2).executor() as executor:
        executor.tell((tasks.pause, gate))
        gate.reached()
        executor.tell((tasks.remember, 1), timeout=0)
        executor.post((tasks.remember, 2), timeout=0)
        with pytest.raises(futures_actors.MailboxFull):
            executor.tell((tasks.remember, 3), timeout=0)
        teller = threading.Thread(target=executor.tell, args=((tasks.remember, 4),))
        teller.start()
        gate.open()
        teller.join(PATIENCE)
        assert executor.post((tasks.recall,)).result(PATIENCE) == [1, 2, 4]


@pytest.mark.parametrize("size", [1, 5, 40])
def test_many_are_told_through_little_room(kind, size):
    with kind.actor(actors.Counter).options(mailbox_size=size).executor() as executor:
        for _ in range(1000):
            executor.tell(1)
        assert executor.post(0).result(PATIENCE) == 1000


def test_cancel_futures_drops_what_was_told_and_has_not_begun(kind, gate, caplog):
    executor = kind.start(actors.Do)
    log = executor.post((tasks.recall,))
    running = executor.post((tasks.pause, gate))
    for number in range(5):
        executor.tell((tasks.fail, ValueError(number)))
    gate.reached()
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    executor.shutdown()
    assert (log.done(), running.result(0)) == (True, "passed")
    assert executor.stats().cancelled == 5
    assert not errors_in(caplog)


def test_what_was_told_and_is_lost_by_death_is_logged(process, gate, caplog):
    executor = process.start(actors.Do)
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    for number in range(40):
        executor.tell((tasks.remember, number))
    executor.tell((tasks.pause, gate))
    for _ in range(600):
        executor.tell((tasks.remember, "never"))
    gate.reached()
    os.kill(pid, tasks.KILL)
    executor.shutdown()
    (record,) = errors_in(caplog)
    text = record.getMessage()
    assert "actor ProcessDo: 601 messages sent by tell() are lost" in text
    assert "1 of them had begun" in text
    assert ("code 9" if sys.platform == "win32" else "SIGKILL") in text


def test_what_was_told_and_is_lost_by_force_is_logged(thread, gate, caplog):
    executor = thread.start(actors.Do)
    executor.tell((tasks.pause, gate))
    executor.tell((tasks.remember, 1))
    gate.reached()
    executor.kill()
    gate.open()
    executor.shutdown()
    (record,) = errors_in(caplog)
    assert "1 messages sent by tell() are lost, and 0 of them had begun" in record.getMessage()


def test_told_messages_are_let_go(kind):
    class Thing:
        pass

    import gc
    import weakref

    with kind.start(actors.Ignores, None) as executor:
        if not kind.is_process:
            thing = Thing()
            seen = weakref.ref(thing)
            executor.tell(thing)
            del thing
            executor.post(1).result(PATIENCE)
            gc.collect()
            assert seen() is None
