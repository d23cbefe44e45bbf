"""What a process actor finds around it: environment, arguments, path, flags, standard streams."""

import os
import sys

import pytest

import actors
import programs
import tasks
from gates import PATIENCE


def ask(process, *message):
    with process.start(actors.Do) as executor:
        return executor.post(message).result(PATIENCE)


def test_it_sees_the_environment_of_that_moment(process, monkeypatch):
    monkeypatch.setenv("FUTURES_ACTORS_TEST", "then")
    with process.start(actors.Do) as executor:
        monkeypatch.setenv("FUTURES_ACTORS_TEST", "later")
        asked = executor.post((tasks.call, os.getenv, "FUTURES_ACTORS_TEST"))
        assert asked.result(PATIENCE) == "then"
    monkeypatch.delenv("FUTURES_ACTORS_TEST")
    assert ask(process, tasks.call, os.getenv, "FUTURES_ACTORS_TEST") is None


def test_it_sees_no_variable_that_the_parent_does_not_have(do):
    """Whatever tells the child what to do must not reach the programs that the child starts."""
    assert set(do(tasks.call, os.environ.copy)) <= set(os.environ) | {"LC_CTYPE"}


def test_it_sees_the_working_directory_of_that_moment(process, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with process.start(actors.Do) as executor:
        monkeypatch.undo()
        assert executor.post((tasks.call, os.getcwd)).result(PATIENCE) == str(tmp_path)


def test_it_sees_argv_and_path_of_that_moment(process, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--option", "\N{SNOWMAN}", ""])
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), "", "not/there"])
    assert ask(process, tasks.look_at, "sys:argv") == sys.argv
    assert ask(process, tasks.look_at, "sys:path") == sys.path


def test_it_can_import_what_the_parent_can(process, tmp_path, monkeypatch):
    (tmp_path / "only_here_by_path.py").write_text("VALUE = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ask(process, tasks.look_at, "only_here_by_path:VALUE") == 42


def test_a_module_in_the_working_directory_does_not_get_in_the_way(process, tmp_path, monkeypatch):
    """The parent does not look there, so the child must not either: not even while it starts."""
    for name in ("pickle", "struct", "signal", "futures_actors"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger was imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert ask(process, tasks.echo, "alive") == "alive"


def test_it_is_the_same_python(do):
    assert do(tasks.look_at, "sys:executable") == sys.executable
    assert do(tasks.look_at, "sys:version") == sys.version
    assert do(tasks.look_at, "sys:prefix") == sys.prefix


FLAGS = [
    [],
    ["-O"],
    ["-OO", "-B"],
    ["-s", "-E"],
    ["-bb"],
    ["-X", "dev"],
    ["-X", "utf8=1"],
    ["-W", "error::UserWarning"],
    ["-X", "futures_actors_test=1"],
]


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_it_has_the_parents_flags(script, flags):
    source = f"""if True:
        import sys
        sys.path.insert(0, {str(programs.SUPPORT)!r})  # -E hides PYTHONPATH
        import actors, tasks
        names = ["sys:flags." + name for name in dir(sys.flags) if name[0] != "_"]
        names = [name for name in names if not callable(tasks.look_at(None, name))]
        with actors.ProcessDo.executor() as executor:
            for name in [*names, "sys:warnoptions", "sys:_xoptions"]:
                here = tasks.look_at(None, name)
                there = executor.post((tasks.look_at, name)).result(30)
                if here != there:
                    print(name, "is", here, "in the parent and", there, "in the child")
    """
    assert script(source, flags=flags).check().out == ""


def test_isolated_mode_is_kept(script):
    source = f"""if True:
        import sys
        sys.path.insert(0, {str(programs.SUPPORT)!r})
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.look_at, 'sys:flags.isolated')).result(30))
    """
    assert script(source, flags=["-I"]).check().out == "1\n"


def test_the_interactive_flag_is_not_for_the_child(script):
    """`-i` would make it read a terminal instead of ending."""
    source = """if True:
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.look_at, 'sys:flags.inspect')).result(30))
    """
    ended = script(source, flags=["-i"])
    assert ended.out == "0\n"
    assert "Traceback" not in ended.err


def test_stdin_is_empty(do):
    assert do(tasks.read_stdin) == ("", b"")


def test_the_parents_stdin_is_left_alone(script):
    """If it were shared, the child would read the rest of a program that the parent reads from
    there."""
    source = """if True:
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            print(executor.post((tasks.read_stdin,)).result(30))
    """
    assert script(source, "interactive").check().out == "('', b'')\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_an_actor_prints_appears_on_the_parents_stream(process, capfd, stream):
    with process.start(actors.Do) as executor:
        executor.post((tasks.say, "a word", stream)).result(PATIENCE)
    assert getattr(capfd.readouterr(), {"stdout": "out", "stderr": "err"}[stream]) == "a word\n"


def test_what_a_constructor_prints_appears(script):
    source = """if True:
        import actors
        class Talks(actors.ProcessActor):
            def __init__(self):
                print("born")
            def handle(self, message):
                print("handled", message)
        Talks.executor().post(1).result(30)
    """
    assert script(source).check().out == "born\nhandled 1\n"


def test_nothing_is_printed_but_what_actors_print(process, capfd):
    with process.start(actors.Do) as executor:
        executor.post((tasks.fail, ValueError("no"))).exception(PATIENCE)
        executor.post((tasks.exit_politely, 3)).exception(PATIENCE)
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
    with process.start(actors.Fails, KeyError("never mind")) as executor:
        pass
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_parent_without_standard_streams(script, tmp_path, closed):
    """Then the pipes of a child may get the numbers 0 to 2."""
    answer = tmp_path / "answer"
    source = f"""if True:
        import actors, tasks
        with actors.ProcessDo.executor() as executor:
            executor.post((tasks.say, "lost")).exception(30)
            text = executor.post((tasks.echo, "heard")).result(30)
        with open({str(answer)!r}, "w") as file:
            file.write(text)
    """
    assert script(source, shell=f'exec "$@" {closed}').status == 0
    assert answer.read_text() == "heard"


def test_a_parent_that_replaced_its_streams(process, capsys):
    """As notebooks and pytest do: the new ones have no descriptor."""
    with process.start(actors.Do) as executor:
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"
