"""Processes that die, whatever killed them, and links that break or talk nonsense: each future of
such an actor says what happened, and nothing hangs or is left behind."""

import os
import pickle
import signal
import struct
import sys
import threading
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool

import pytest

import actors
import futures_actors
import observe
import programs
import tasks
from gates import PATIENCE

DEATHS = {
    "exit": ((tasks.exit_at_once, 3), 3),
    "exit 0": ((tasks.exit_at_once, 0), 0),
    "exit -1": ((tasks.exit_at_once, -1), 0xFFFFFFFF if sys.platform == "win32" else 255),
    "SIGKILL": ((tasks.kill, tasks.KILL), tasks.KILLED),
    "SIGTERM": ((tasks.kill, signal.SIGTERM), tasks.ended_by(signal.SIGTERM)),
    "SIGABRT": ((tasks.kill, signal.SIGABRT), tasks.ended_by(signal.SIGABRT)),
    "segmentation fault": ((tasks.segfault,), tasks.SEGFAULT),
}


@pytest.mark.parametrize(("message", "exitcode"), DEATHS.values(), ids=DEATHS)
def test_each_future_of_a_dead_process_says_what_happened(process, gate, message, exitcode):
    with process.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        executor.post((tasks.pause, gate))
        running = executor.post(message)
        waiting = [executor.post((tasks.echo, number)) for number in range(3)]
        gate.open()
        errors = [future.exception(PATIENCE) for future in [running, *waiting]]
    assert len(set(map(id, errors))) == 4
    assert [error.started for error in errors] == [True, False, False, False]
    for error in errors:
        assert type(error) is futures_actors.ActorDied
        assert isinstance(error, BrokenProcessPool)
        assert "terminated abruptly" in str(error)
        assert "ProcessDo" in str(error)
        assert error.pid == pid
        assert error.exitcode == exitcode


REAPERS = {
    "the system": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "a handler": "signal.signal(signal.SIGCHLD, reap)",
    "a thread": "threading.Thread(target=reap_for_ever, daemon=True).start()",
}


@observe.on_unix
@pytest.mark.parametrize("how", REAPERS.values(), ids=REAPERS)
@pytest.mark.parametrize("ending", ["terminate", "kill", "death", "broken link"])
def test_no_exit_code_is_made_up_where_other_code_reaps_the_child(script, how, ending):
    """It is the true exit code or None; `subprocess` would say 0 there."""
    source = f"""if True:
        import actors, os, signal, tasks, threading, time
        def reap(*_):
            try:
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
            except ChildProcessError:
                pass
        def reap_for_ever():
            while True:
                reap()
                time.sleep(0.0001)
        {how}
        for _ in range(3):
            executor = actors.ProcessDo.executor()
            pid = executor.post((tasks.get_pid,)).result(20)
            ending = "{ending}"
            if ending == "death":
                future = executor.post((tasks.kill, tasks.KILL))
            elif ending == "broken link":
                future = executor.post((tasks.write_nonsense, bytes([255] * 64)))
            else:
                future = executor.post((tasks.nap_in_c, 60))
                while not future.running():
                    time.sleep(0.001)
                getattr(executor, ending)()
            error = future.exception(20)
            print(type(error).__name__, error.exitcode)
            executor.shutdown()
    """
    said = set(script(source).check().out.splitlines())
    killed = {"terminate": -signal.SIGTERM}.get(ending, tasks.KILLED)
    assert said <= {"ActorDied None", f"ActorDied {killed}"}


def test_post_after_death_is_refused(process):
    with process.start(actors.Do) as executor:
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
        for post in (lambda: executor.post(1), lambda: executor.submit(abs, 1)):
            with pytest.raises(BrokenProcessPool, match="terminated abruptly") as caught:
                post()
            assert isinstance(caught.value, futures_actors.ActorDied)
            assert caught.value.exitcode == 3
            assert caught.value.started is False


def test_refusals_after_death_are_each_their_own(process):
    """If the same exception were raised twice, it would collect both tracebacks."""
    with process.start(actors.Do) as executor:
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
        refusals = []
        for _ in range(2):
            with pytest.raises(BrokenProcessPool) as caught:
                executor.post(1)
            refusals.append(caught.value)
    assert refusals[0] is not refusals[1]


def test_post_after_death_and_shutdown_is_refused(process):
    executor = process.start(actors.Do)
    executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.post(1)


def test_an_actor_that_dies_between_messages_is_noticed(process):
    with process.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        os.kill(pid, tasks.KILL)
        error = refusal(executor)
    assert isinstance(error, futures_actors.ActorDied)
    assert (error.pid, error.exitcode, error.started) == (pid, tasks.KILLED, False)


def refusal(executor):
    """Post until the executor refuses; whatever it accepts must fail as well."""
    found = []

    def refused():
        try:
            found.append(executor.post((tasks.echo, 1)).exception(PATIENCE))
        except BrokenProcessPool as error:
            found.append(error)
            return True
        return False

    programs.wait_until(refused, PATIENCE)
    assert all(isinstance(error, BrokenProcessPool) for error in found if error is not None)
    return found[-1]


def test_death_wakes_every_way_of_waiting(process, gate):
    rung = threading.Event()
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        running = executor.post((tasks.exit_at_once, 3))
        waiting = [executor.post((tasks.echo, number)) for number in range(3)]
        waiting[0].add_done_callback(lambda _: rung.set())
        threading.Timer(0.05, gate.open).start()
        assert futures.wait([running, *waiting], PATIENCE).not_done == set()
        assert rung.wait(PATIENCE)
        assert len(list(futures.as_completed(waiting, PATIENCE))) == 3


def test_messages_cancelled_before_death_stay_cancelled(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        executor.post((tasks.exit_at_once, 3))
        cancelled, waiting = executor.post((tasks.echo, 1)), executor.post((tasks.echo, 2))
        assert cancelled.cancel()
        gate.open()
        assert isinstance(waiting.exception(PATIENCE), futures_actors.ActorDied)
        assert cancelled.cancelled()


def test_answers_given_before_death_arrive(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        answered = [executor.post((tasks.echo, number)) for number in range(100)]
        executor.post((tasks.exit_at_once, 3))
        gate.open()
        assert [future.result(PATIENCE) for future in answered] == list(range(100))


def test_a_callback_of_a_dead_actor_sees_a_refusing_executor(process):
    seen = []
    rung = threading.Event()

    def post_again(future):
        try:
            executor.post(1)
        except BaseException as error:
            seen.append(error)
        rung.set()

    with process.start(actors.Do) as executor:
        executor.post((tasks.exit_at_once, 3)).add_done_callback(post_again)
        assert rung.wait(PATIENCE)
    assert isinstance(seen[0], BrokenProcessPool)


def test_one_actors_death_leaves_the_others_alone(process):
    with process.start(actors.Do) as doomed, process.start(actors.Do) as other:
        doomed.post((tasks.exit_at_once, 3)).exception(PATIENCE)
        assert other.post((tasks.echo, "alive")).result(PATIENCE) == "alive"


def test_death_in_the_constructor_fails_what_was_posted(process):
    with process.start(actors.DiesAtBirth, 4) as executor:
        try:
            error = executor.post(1).exception(PATIENCE)
        except BrokenProcessPool as raised:
            error = raised
        assert isinstance(error, futures_actors.BrokenActor)
        assert isinstance(error, BrokenProcessPool)
        assert "terminated abruptly" in str(error)
        with pytest.raises(BrokenProcessPool):
            executor.post(2)


@observe.on_unix
def test_death_is_noticed_though_a_fork_holds_the_pipes(process):
    with process.start(actors.Do) as executor:
        error = executor.post((tasks.leave_a_fork_and_die, 10)).exception(PATIENCE / 4)
        assert isinstance(error, futures_actors.ActorDied)
        assert error.exitcode == tasks.KILLED


@observe.on_unix
def test_shutdown_does_not_wait_for_a_fork_that_an_actor_left(process):
    executor = process.start(actors.Do)
    fork = executor.post((tasks.leave_a_fork, 10)).result(PATIENCE)
    executor.shutdown()
    assert not programs.is_gone(fork)
    os.kill(fork, tasks.KILL)


@observe.on_unix
def test_a_parent_that_ignores_its_children_still_hears_of_a_death(script):
    """The system reaps the child then, so its exit code is lost."""
    source = """if True:
        import actors, signal, tasks
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.echo, "alive")).result(30))
            print(type(executor.post((tasks.exit_at_once, 3)).exception(30)).__name__)
    """
    assert script(source).check().out == "alive\nActorDied\n"


def test_actor_died_pickles(process):
    with process.start(actors.Do) as executor:
        error = executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is futures_actors.ActorDied
    assert str(copy) == str(error)
    assert (copy.pid, copy.exitcode, copy.started) == (error.pid, 3, True)


# Links that break.


@observe.on_unix
def test_a_handle_that_closes_every_descriptor_breaks_its_actor_only(process):
    with process.start(actors.Do) as executor:
        error = executor.post((tasks.close_everything,)).exception(PATIENCE)
        assert isinstance(error, BrokenProcessPool)
        with pytest.raises(BrokenProcessPool):
            executor.post((tasks.echo, 1))


@observe.on_unix
@pytest.mark.parametrize("half", [b"\x00", b"\x01\x00\x00", b"\x00" * 7], ids=len)
def test_a_frame_cut_in_half_by_death(process, half):
    with process.start(actors.Do) as executor:
        running = executor.post((tasks.write_nonsense, half, 5))
        waiting = executor.post((tasks.echo, 1))
        for future in (running, waiting):
            assert isinstance(future.exception(PATIENCE), BrokenProcessPool)
        with pytest.raises(BrokenProcessPool):
            executor.post((tasks.echo, 1))


@observe.on_unix
@pytest.mark.parametrize(
    "nonsense", [b"\xff" * 64, b"\x7f" * 4096, b"GET / HTTP/1.1\r\n\r\n"], ids=len
)
def test_a_frame_that_makes_no_sense_breaks_the_actor_with_an_error(process, nonsense):
    """An answer that arrived otherwise may still count, but no message stays without an end."""
    with process.start(actors.Do) as executor:
        running = executor.post((tasks.write_nonsense, nonsense))
        waiting = executor.post((tasks.echo, "waiting"))
        for future, answer in ((running, "written"), (waiting, "waiting")):
            error = future.exception(PATIENCE)
            assert isinstance(error, BrokenProcessPool) or future.result() == answer
        assert "link broke" in str(refusal(executor))


ANSWER, ERROR, SKIPPED, BEGUN, DONE = 17, 18, 19, 21, 22
#: The numbers of an actor's first messages, posted one by one: each uses the slot that the one
#: before has left.
FIRST, SECOND = 1 << 16, 2 << 16


def frame(kind, sequence, body=b""):
    return struct.pack("<QQ", len(body), kind << 56 | sequence) + body


def answer(sequence, value):
    return frame(ANSWER, sequence, pickle.dumps(value) + b"\0")


def done(*sequences):
    return frame(DONE, 0, struct.pack(f"<{len(sequences)}Q", *sequences))


UNTRUE = {
    **{
        f"{name} {number:#x}": frame(kind, number)
        for name, kind in (("error", ERROR), ("skipped", SKIPPED), ("begun", BEGUN))
        for number in (1, FIRST, FIRST + 1, SECOND - 1, (1 << 56) - 1)
    },
    "answered again": answer(FIRST, "again"),
    "done, to one that was not told": done(SECOND),
    "done, to one that has left": done(FIRST),
    "done, to none": done(0, (1 << 64) - 1),
    "done, cut": frame(DONE, 0, b"1234567"),
    "skipped, and then answered": frame(SKIPPED, SECOND),
}


@observe.on_unix
@pytest.mark.parametrize("untrue", UNTRUE.values(), ids=UNTRUE)
def test_a_frame_of_which_nothing_is_true_breaks_the_actor_with_an_error(process, untrue):
    with process.start(actors.Do) as executor:
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        running = executor.post((tasks.write_nonsense, untrue))
        error = running.exception(PATIENCE)
        assert isinstance(error, BrokenProcessPool) or running.result() == "written"
        assert "link broke" in str(refusal(executor))


@observe.on_unix
def test_a_message_that_has_not_begun_cannot_be_said_to_have(process, gate):
    """If the parent believed it, that would make room in a bounded mailbox."""
    with process.start(actors.Do) as executor:
        executor.post((tasks.write_when_open, gate, frame(BEGUN, FIRST + 2)))
        gate.reached()
        # Waits until the actor is no more, since the gate opens once.
        running = executor.post((tasks.pause, gate))
        waiting = executor.post((tasks.echo, 1))
        gate.open()
        assert [one.exception(PATIENCE).started for one in (running, waiting)] == [True, False]
        assert "link broke" in str(waiting.exception())


@observe.on_unix
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1)], ids=str)
def test_answers_are_taken_in_whatever_order_they_come(process, gate, order):
    """This `handle` answers the messages behind its own, and then dies."""
    with process.start(actors.Do) as executor:
        answers = b"".join(answer(FIRST + slot, f"to {slot}") for slot in order)
        running = executor.post((tasks.write_when_open, gate, answers, 3))
        gate.reached()
        waiting = [executor.post((tasks.echo, slot)) for slot in (1, 2, 3)]
        gate.open()
        error = running.exception(PATIENCE)
        assert (type(error), error.started) == (futures_actors.ActorDied, True)
        for slot, future in enumerate(waiting, 1):
            if slot in order:
                assert future.result(PATIENCE) == f"to {slot}"
            else:
                assert future.exception(PATIENCE).started is False


@observe.on_unix
def test_an_answer_cut_in_half_by_death(program, gate):
    """The parent stops reading, the child fills the pipe and is killed, the parent reads on."""
    parent = program(
        """if True:
        import sys
        import actors, gates, tasks
        executor = actors.ProcessDo.options(shared_memory=0).executor()
        print(executor.post((tasks.get_pid,)).result(30))
        future = executor.post((tasks.answer_big, 1 << 22, gates.Gate(sys.argv[1])))
        waiting = executor.post((tasks.echo, 1))
        for one in (future, waiting):
            print(type(one.exception(30)).__name__)
        executor.shutdown()
        """,
        gate.path,
    )
    child = int(parent.line())
    gate.reached()
    parent.signal(signal.SIGSTOP)
    gate.open()
    programs.wait_until(lambda: programs.bytes_in_pipes(child) > 4096, PATIENCE)
    os.kill(child, tasks.KILL)
    parent.signal(signal.SIGCONT)
    assert [parent.line(), parent.line()] == ["ActorDied", "ActorDied"]
    assert parent.wait() == 0
    assert parent.errors() == ""


def test_a_message_cut_in_half_by_the_parents_death(program, gate):
    """The child's constructor is at work while the parent writes, and dies."""
    parent = program(
        """if True:
        import sys, time
        import actors, gates
        waits = actors.ProcessWaits.options(shared_memory=0)
        executor = waits.executor(gates.Gate(sys.argv[1]))
        executor.post(bytes(1 << 24))
        print("posted", flush=True)
        time.sleep(30)
        """,
        gate.path,
    )
    gate.reached()
    assert parent.line() == "posted"
    assert programs.others_of_session(parent.pid)
    parent.signal(tasks.KILL)
    assert parent.wait() == tasks.KILLED
    programs.wait_until(lambda: not programs.others_of_session(parent.pid))
