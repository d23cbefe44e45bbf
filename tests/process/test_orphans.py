"""Ends that nobody planned: the parent dies, or the user presses Ctrl-C. A child ends within a
second of its parent, whatever its `handle` does, and Ctrl-C interrupts a parent that waits."""

import os
import signal
import sys
import time
from concurrent import futures
from pathlib import Path

import pytest

import actors
import observe
import programs
import tasks
from futures_actors import ProcessActor
from gates import PATIENCE

#: Seconds. A child is promised to end within one second of its parent. A busy machine may take
#: many times as long; what these children do would take a minute.
SOON = PATIENCE

BUSY = {
    "idle": "(tasks.echo, 1)",
    "sleeping": "(tasks.nap, 60)",
    "looping": "(tasks.spin, 60)",
    "holding the interpreter": "(tasks.nap_in_c, 60)",
}


def is_soon_gone(pid):
    return programs.wait_until(lambda: programs.is_gone(pid), SOON)


def are_others_soon_gone(program):
    """Whether all that a program started has ended, its fork server too."""
    return programs.wait_until(lambda: not programs.others_of_session(program.pid), SOON)


@pytest.mark.parametrize("message", BUSY.values(), ids=BUSY)
def test_a_child_ends_when_its_parent_is_killed(program, message):
    parent = program(f"""if True:
        import actors, tasks, time
        executor = actors.ProcessDo.executor()
        print(executor.post((tasks.get_pid,)).result(30))
        executor.post({message})
        time.sleep(0.3)
        print("busy")
        time.sleep(60)
    """)
    child = int(parent.line())
    assert parent.line() == "busy"
    assert not programs.is_gone(child)
    parent.signal(tasks.KILL)
    parent.wait()
    assert is_soon_gone(child)
    assert are_others_soon_gone(parent)


ENDS = {
    "os._exit": "os._exit(3)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "segmentation fault": "tasks.segfault(None)",
    "abort": "os.abort()",
    "exec": "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_child_ends_however_its_parent_ends(program, end):
    parent = program(f"""if True:
        import actors, faulthandler, os, signal, sys, tasks, time
        if sys.platform != "win32":
            import resource
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        executor = actors.ProcessDo.executor()
        print(executor.post((tasks.get_pid,)).result(30))
        executor.post((tasks.nap, 60))
        time.sleep(0.2)
        print("now")
        {end}
    """)
    child = int(parent.line())
    assert parent.line() == "now"
    assert is_soon_gone(child)


def test_a_child_ends_while_its_constructor_runs(program, gate):
    parent = program(
        """if True:
        import actors, gates, sys, time
        executor = actors.ProcessWaits.executor(gates.Gate(sys.argv[1]))
        time.sleep(60)
        """,
        gate.path,
    )
    gate.reached()
    assert programs.others_of_session(parent.pid)
    parent.signal(tasks.KILL)
    parent.wait()
    assert are_others_soon_gone(parent)


def test_a_child_whose_parent_dies_at_once_does_not_stay(program):
    """It is killed while its child starts."""
    parent = program("""if True:
        import actors, os
        executor = actors.ProcessDo.executor()
        os.kill(os.getpid(), 9)
    """)
    parent.wait()
    assert are_others_soon_gone(parent)


def test_actors_of_actors_end_too(program):
    parent = program("""if True:
        import actors, tasks, time
        executor = actors.ProcessDo.executor()
        print(executor.post((tasks.get_pid,)).result(30))
        print(executor.post((tasks.inner_pid, "Process")).result(30))
        executor.post((tasks.nap_in_c, 60))
        time.sleep(60)
    """)
    pids = [int(parent.line()), int(parent.line())]
    parent.signal(tasks.KILL)
    parent.wait()
    for pid in pids:
        assert is_soon_gone(pid)


@pytest.mark.parametrize(
    "start_method", ["spawn"] if sys.platform == "win32" else ["forkserver", "spawn"]
)
@pytest.mark.parametrize("message", BUSY.values(), ids=BUSY)
def test_actors_of_actors_end_within_the_same_second(program, message, start_method):
    """Their fork servers, and the children that these keep ready, end too."""
    parent = program(f"""if True:
        import actors, futures_actors, tasks, time
        futures_actors.set_start_method("{start_method}")
        executor = actors.ProcessDo.executor()
        print(executor.post((tasks.get_pid,)).result(30))
        print(executor.post((tasks.inner_pid, "Process")).result(30))
        executor.post((tasks.keep_inner_busy, {message})).result(30)
        time.sleep(0.3)
        executor.post((tasks.nap_in_c, 60))
        time.sleep(0.3)
        print("busy")
        time.sleep(60)
    """)
    pids = [int(parent.line()), int(parent.line())]
    assert parent.line() == "busy"
    assert not any(map(programs.is_gone, pids))
    parent.signal(tasks.KILL)
    parent.wait()
    assert are_others_soon_gone(parent)
    assert all(map(programs.is_gone, pids))


def test_an_actor_that_is_being_started_again_ends_with_its_parent(program):
    """The constructor of its second child hangs, in C code that holds the interpreter."""
    parent = program(f"""if True:
        import os, sys, tasks, time
        sys.path.append({str(Path(__file__).parent)!r})
        import test_orphans
        executor = test_orphans.HangsWhenBornAgain.options(max_restarts=5).executor(os.getcwd())
        print(executor.post((tasks.get_pid,)).result(30))
        executor.post((tasks.exit_at_once, 3)).exception(30)
        while not os.path.exists("hangs"):
            time.sleep(0.01)
        print("hangs")
        time.sleep(60)
    """)
    parent.line()
    assert parent.line() == "hangs"
    assert programs.others_of_session(parent.pid)
    parent.signal(tasks.KILL)
    parent.wait()
    assert are_others_soon_gone(parent)


class HangsWhenBornAgain(ProcessActor):
    def __init__(self, folder):
        if (Path(folder) / "born").exists():
            (Path(folder) / "hangs").touch()
            tasks.nap_in_c(self, 60)
        (Path(folder) / "born").touch()

    handle = actors.Do.handle


@observe.on_unix
def test_a_child_ends_though_a_fork_of_its_parent_lives_on(program):
    """The fork has copies of every descriptor that the parent had."""
    parent = program("""if True:
        import actors, os, tasks, time, warnings
        warnings.simplefilter("ignore")
        executor = actors.ProcessDo.executor()
        print(executor.post((tasks.get_pid,)).result(30))
        executor.post((tasks.nap, 60))
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        print("forked")
        time.sleep(60)
    """)
    child = int(parent.line())
    assert parent.line() == "forked"
    time.sleep(0.1)
    parent.signal(tasks.KILL)
    parent.wait()
    assert is_soon_gone(child)


def test_a_child_ends_though_a_program_of_its_parent_lives_on(program):
    parent = program("""if True:
        import actors, subprocess, sys, tasks, time
        executor = actors.ProcessDo.executor()
        print(executor.post((tasks.get_pid,)).result(30))
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
        print("started")
        time.sleep(60)
    """)
    child = int(parent.line())
    assert parent.line() == "started"
    parent.signal(tasks.KILL)
    parent.wait()
    assert is_soon_gone(child)


# Ctrl-C.

WAITS = {
    "result": "future.result()",
    "result with a timeout": "future.result(60)",
    "exception": "future.exception()",
    "wait": "futures.wait([future])",
    "as_completed": "next(futures.as_completed([future]))",
    "shutdown": "executor.shutdown()",
    "with": "executor.__exit__(None, None, None)",
}


@observe.on_unix
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_ctrl_c_interrupts_a_parent_that_waits(kind, program, gate, wait):
    """Only the parent gets the signal here; its actor goes on."""
    parent = program(
        f"""if True:
        import actors, gates, os, sys, tasks
        from concurrent import futures
        executor = actors.{kind.prefix}Do.executor()
        future = executor.post((tasks.pause, gates.Gate(sys.argv[1])))
        print("waiting")
        try:
            {wait}
        except KeyboardInterrupt:
            print("interrupted")
            print(future.done())
        os._exit(0)
        """,
        gate.path,
    )
    assert parent.line() == "waiting"
    wait_until_it_waits(parent, gate)
    parent.signal(signal.SIGINT)
    assert parent.line() == "interrupted"
    assert parent.line() == "False"


def wait_until_it_waits(parent, gate):
    """Return when the parent's main thread sleeps in a wait, and its actor has come to the gate.

    While the actor starts, the main thread may also sleep because it hands over the GIL before its
    wait. From a signal that comes then, that wait does not wake up, in pools neither.
    """
    gate.reached()
    observe.wait_until_asleep(parent.pid, parent.pid)


@observe.on_unix
def test_a_signal_handler_runs_while_the_parent_waits_and_the_wait_goes_on(kind, program, gate):
    parent = program(
        f"""if True:
        import actors, gates, signal, sys, tasks
        signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
        executor = actors.{kind.prefix}Do.executor()
        future = executor.post((tasks.pause, gates.Gate(sys.argv[1])))
        print("waiting")
        print(future.result())
        """,
        gate.path,
    )
    assert parent.line() == "waiting"
    wait_until_it_waits(parent, gate)
    parent.signal(signal.SIGUSR1)
    assert parent.line() == "handled"
    gate.open()
    assert parent.line() == "passed"
    assert parent.wait() == 0


@observe.on_unix
def test_ctrl_c_in_a_terminal_ends_a_program_quietly_but_for_its_own_traceback(program):
    """Parent and child both get the signal; the child's goes to the future."""
    parent = program("""if True:
        import actors, tasks
        executor = actors.ProcessDo.executor()
        executor.post((tasks.echo, 1)).result(30)
        future = executor.post((tasks.nap, 60))
        print("waiting")
        future.result()
    """)
    assert parent.line() == "waiting"
    observe.wait_until_asleep(parent.pid, parent.pid)
    parent.signal_all(signal.SIGINT)
    assert parent.wait() == -signal.SIGINT  # the wait would take a minute
    assert parent.errors().count("KeyboardInterrupt") <= 2
    assert "Exception ignored" not in parent.errors()


@observe.on_unix
@pytest.mark.parametrize(
    ("base", "whom"), [("Thread", "parent"), ("Thread", "group"), ("Process", "group")]
)
def test_ctrl_c_ends_a_program_that_waits_at_its_exit(program, base, whom):
    """The interpreter's exit waits for the actor, which would take an hour."""
    parent = program(f"""if True:
        import actors, tasks
        executor = actors.{base}Do.executor()
        executor.post((tasks.echo, 1)).result(30)
        executor.post((tasks.nap, 3600))
        print("ending")
    """)
    assert parent.line() == "ending"
    observe.wait_until_asleep(parent.pid, parent.pid)
    (parent.signal_all if whom == "group" else parent.signal)(signal.SIGINT)
    parent.wait()


@observe.on_unix
def test_sigint_inside_handle_goes_to_the_future(process, gate):
    with process.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        future = executor.post((tasks.pause, gate))
        waiting = executor.post((tasks.echo, "alive"))
        gate.reached()
        while not future.done():  # a signal that comes just before a system call does not end it
            os.kill(pid, signal.SIGINT)
            futures.wait([future], 0.5)
        assert type(future.exception(PATIENCE)) is KeyboardInterrupt
        assert waiting.result(PATIENCE) == "alive"


@observe.on_unix
def test_sigint_between_messages_is_ignored(process):
    with process.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        for number in range(5):
            os.kill(pid, signal.SIGINT)
            time.sleep(0.05)
            assert executor.post((tasks.echo, number)).exception(PATIENCE) is None


@observe.on_unix
def test_sigint_at_any_moment_costs_at_most_the_message_that_runs(process):
    with process.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        posted = []
        for _ in range(200):
            posted += [executor.post((tasks.spin, 0.0005)) for _ in range(3)]
            os.kill(pid, signal.SIGINT)
        errors = [future.exception(PATIENCE) for future in posted]
        assert {type(error) for error in errors} <= {type(None), KeyboardInterrupt}
        programs.wait_until(lambda: executor.post((tasks.get_pid,)).exception(PATIENCE) is None)
        assert executor.post((tasks.get_pid,)).result(PATIENCE) == pid


@observe.on_unix
def test_a_handler_for_sigint_that_the_actor_sets_is_its_own(process):
    with process.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        executor.post((set_handler,)).result(PATIENCE)
        os.kill(pid, signal.SIGINT)
        programs.wait_until(lambda: executor.post((tasks.recall,)).result(PATIENCE) == ["SIGINT"])


def set_handler(actor):
    signal.signal(signal.SIGINT, lambda *_: actor.log.append("SIGINT"))
