"""On Windows an interpreter is kept ready for the next process actor. It is like a fresh one,
and it ends with the process that keeps it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import actors
import programs
import tasks
from futures_actors import ProcessActor
from gates import PATIENCE

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="only on Windows an interpreter is kept ready"
)

SYNCHRONIZE = 0x0010_0000


def kept():
    """Return the process that is ready, once it is."""
    from futures_actors._process import kept

    assert programs.wait_until(lambda: kept._kept, PATIENCE)
    return kept._kept[0].process


@pytest.fixture
def ready():
    """The interpreter that is ready, after an actor has answered."""
    with actors.ProcessDo.executor() as executor:
        executor.post((tasks.echo, 1)).result(PATIENCE)
        return kept()


def ask(*message):
    """Return the pid of a new actor, and what it answers."""
    with actors.ProcessDo.executor() as executor:
        pid, answer = executor.post((tasks.get_pid,)), executor.post(message)
        return pid.result(PATIENCE), answer.result(PATIENCE)


class Handle:
    """Of a process, to see when it has ended."""

    def __init__(self, pid):
        import _winapi

        self._handle = _winapi.OpenProcess(SYNCHRONIZE, False, pid)

    def has_ended(self, seconds=0):
        import _winapi

        return _winapi.WaitForSingleObject(self._handle, int(seconds * 1000)) == 0


def test_the_next_actor_gets_it_and_then_there_is_another(ready):
    pid, answer = ask(tasks.echo, "alive")
    assert (pid, answer) == (ready.pid, "alive")
    another = kept()
    assert another.pid != pid
    assert another.poll() is None


def test_an_actor_that_is_started_again_gets_it(ready):
    with actors.ProcessDo.options(max_restarts=1).executor() as executor:
        executor.post((tasks.echo, 1)).result(PATIENCE)
        another = kept()
        executor.post((tasks.kill, 9)).exception(PATIENCE)
        assert executor.post((tasks.get_pid,)).result(PATIENCE) == another.pid


def test_it_sees_the_environment_of_the_moment_when_it_is_needed(ready, monkeypatch):
    gone = next(name for name in os.environ if name.startswith("PROCESSOR"))
    monkeypatch.delenv(gone)
    monkeypatch.setenv("FUTURES_ACTORS_TEST", "\N{SNOWMAN} = now")
    monkeypatch.setenv("NUMBER_OF_PROCESSORS", "changed")
    pid, environ = ask(tasks.call, os.environ.copy)
    assert pid == ready.pid
    assert dict(environ) == dict(os.environ)


def test_it_works_in_the_directory_of_that_moment_and_before_in_none_that_anyone_removes(
    ready, tmp_path, monkeypatch
):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    pid, found = ask(tasks.call, os.getcwd)
    assert pid == ready.pid
    assert Path(found).samefile(folder)
    with actors.ProcessDo.executor() as executor:
        executor.post((tasks.echo, 1)).result(PATIENCE)
        another = kept()
    monkeypatch.undo()
    # It may just have begun to start, in the folder in which this process was.
    assert programs.wait_until(lambda: is_removed(folder), PATIENCE)
    assert another.poll() is None


def is_removed(folder):
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def is_loaded(name):
    return name in sys.modules


def test_it_imports_early_by_the_path_of_the_program(ready, tmp_path, monkeypatch):
    from futures_actors._process import kept as keeper

    (tmp_path / "only_there.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(keeper, "_slow_imports", {"only_there"})
    assert ask(tasks.call, is_loaded, "only_there") == (ready.pid, False)
    another = kept()
    assert ask(tasks.call, is_loaded, "only_there") == (another.pid, True)


def test_its_standard_input_is_empty(ready):
    assert ask(tasks.read_stdin) == (ready.pid, ("", b""))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_it_prints_goes_to_the_stream_of_that_moment(ready, capfd, stream):
    ask(tasks.say, "a word", stream)
    said = getattr(capfd.readouterr(), {"stdout": "out", "stderr": "err"}[stream])
    assert said.split() == ["a", "word"]


def test_a_variable_that_python_reads_as_it_starts_takes_a_fresh_one(ready, monkeypatch):
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    pid, level = ask(tasks.look_at, "sys:flags.optimize")
    assert pid != ready.pid
    assert level == 2
    assert ready.poll() is not None


def test_an_option_of_the_interpreter_that_has_changed_takes_a_fresh_one(ready, monkeypatch):
    monkeypatch.setattr(sys, "warnoptions", ["ignore::ImportWarning"])
    pid, options = ask(tasks.look_at, "sys:warnoptions")
    assert pid != ready.pid
    assert "ignore::ImportWarning" in options


def test_one_that_was_killed_is_no_fault(ready):
    ready.kill()
    ready.wait(PATIENCE)
    pid, answer = ask(tasks.echo, "alive")
    assert answer == "alive"
    assert pid != ready.pid
    assert kept().pid != ready.pid


def keep_one(_actor):
    """In an actor: start another one, and return the process that is kept ready here."""
    ask(tasks.echo, 1)
    return kept().pid


@pytest.mark.parametrize("end", ["shutdown", "kill"])
def test_that_of_an_actor_that_starts_others_ends_with_that_actor(end):
    executor = actors.ProcessDo.executor()
    inner = Handle(executor.post((keep_one,)).result(PATIENCE))
    assert not inner.has_ended()
    if end == "kill":
        executor.kill()
    executor.shutdown()
    assert inner.has_ended(PATIENCE)


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_it_ends_with_the_program_however_that_ends(end):
    source = """if True:
        import actors, tasks, test_kept_interpreters
        print(test_kept_interpreters.keep_one(None), flush=True)
        input()
    """
    environment = programs.environment()
    environment["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as program:
        kept_one = Handle(int(program.stdout.readline()))
        assert not kept_one.has_ended()
        if end == "kill":
            program.kill()
            program.wait(PATIENCE)
            assert kept_one.has_ended(PATIENCE)
        else:
            program.communicate("\n", PATIENCE)
            # Not only soon: what the program has used can be removed now.
            assert kept_one.has_ended()


class Answers(ProcessActor):
    def handle(self, message):
        return "futures_actors._process.kept" in sys.modules


def test_who_starts_no_process_actor_has_none():
    with Answers.executor() as executor:
        assert executor.post(1).result(PATIENCE) is False
