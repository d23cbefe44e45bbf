"""A frozen program has process actors if it says so, and else it does not start itself without end.
`sys.executable` is the program there; here it is a shell script that runs it."""

import sys

import pytest

import programs

PROGRAM = """if True:
    import os, sys
    sys.frozen, sys.executable = True, {app!r}
    import futures_actors
    class Adds(futures_actors.ProcessActor):
        def handle(self, number):
            return number + 1, sys.argv
    {support}
    with open("runs", "a") as file:
        file.write("x")
        assert file.tell() < 4, "it starts itself without end"
    futures_actors.set_start_method({method!r})
    for number in range(2):
        try:
            with Adds.executor() as adds:
                print(adds.post(number).result(30))
        except RuntimeError as error:
            print("freeze_support()" in str(error))
"""


@pytest.fixture(params=["forkserver", "spawn"])
def frozen(request, tmp_path):
    """Run the program and return what it prints, and how often its main part ran."""
    if sys.platform != "linux" and request.param == "forkserver":
        pytest.skip("the fork server is for Linux")

    def run(support, *args):
        program, app = tmp_path / "program.py", tmp_path / "app"
        program.write_text(PROGRAM.format(app=str(app), support=support, method=request.param))
        app.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
        app.chmod(0o700)
        source = f"import subprocess; subprocess.run({[str(app), *args]!r}, check=True)"
        ended = programs.run(source, "command", tmp_path)
        return ended.check().out, len((tmp_path / "runs").read_text())

    return run


def test_a_frozen_program_with_support_has_actors(frozen, tmp_path):
    out, runs = frozen("futures_actors.freeze_support()", "argument")
    argv = [str(tmp_path / "program.py"), "argument"]
    assert out == f"(1, {argv})\n(2, {argv})\n"
    assert runs == 1


def test_a_frozen_program_without_support_is_told_what_to_call(frozen):
    assert frozen("pass") == ("True\nTrue\n", 1)


def test_support_does_nothing_in_a_program_that_is_not_frozen(script):
    source = "import futures_actors; print(futures_actors.freeze_support())"
    assert (
        script(source, args=["--futures-actors-child", "raise SystemExit(3)"]).check().out
        == "None\n"
    )


def test_an_executable_that_is_no_interpreter_is_named(script):
    """As in servers that embed Python, where it is the server."""
    source = """if True:
        import sys
        import actors, tasks
        sys.executable = "/bin/false"
        for method in ("forkserver", "spawn"):
            executor = actors.ProcessDo.options(start_method=method).executor()
            print("/bin/false" in str(executor.post((tasks.echo, 1)).exception(30)))
    """
    ended = script(source)
    assert ended.out == "True\nTrue\n"
    (line,) = ended.err.splitlines()
    assert "the fork server" in line
    assert "/bin/false" in line
