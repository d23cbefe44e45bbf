"""Programs that exit with work queued: all of it is done and told before the interpreter ends, and
that end is without a fault, wherever daemon threads are."""

import re

import pytest

pytestmark = pytest.mark.not_on_ray("they are about the end of this process")

EXIT = """if True:
    import sys
    import actors, tasks
    executor = actors.KINDDo.executor()
    executor.post((tasks.nap, 0.3))
    for number in range(20):
        future = executor.post((tasks.append_to, sys.argv[1], f"{number} "))
"""

ENDINGS = {
    "the end": ("", 0),
    "sys.exit": ("    sys.exit(3)", 3),
    "exception": ("    raise KeyError('the end')", 1),
    "shutdown without waiting": ("    executor.shutdown(wait=False)", 0),
    "dropped": ("    del executor, future", 0),
}


@pytest.mark.parametrize(("ending", "status"), ENDINGS.values(), ids=ENDINGS)
def test_a_program_that_exits_handles_what_it_posted(kind, script, tmp_path, ending, status):
    path = tmp_path / "handled"
    ended = script(EXIT.replace("KIND", kind.prefix) + ending, args=[str(path)])
    assert ended.status == status
    assert path.read_text().split() == [str(number) for number in range(20)]
    assert ended.err == "" or status == 1


def test_callbacks_run_at_exit(kind, script):
    source = f"""if True:
        import actors, tasks
        executor = actors.{kind.prefix}Do.executor()
        executor.post((tasks.nap, 0.3))
        future = executor.post((tasks.echo, "said"))
        future.add_done_callback(lambda future: print(future.result()))
    """
    assert script(source).check().out == "said\n"


def test_errors_are_told_at_exit_too(kind, script):
    """The package must not need modules that the interpreter cannot load any more."""
    source = f"""if True:
        import actors, tasks
        executor = actors.{kind.prefix}Do.executor()
        executor.tell((tasks.nap, 0.3))
        executor.tell((tasks.fail, ValueError("told at exit")))
    """
    ended = script(source)
    assert ended.status == 0
    assert "ValueError: told at exit\n" in ended.err
    assert "register atexit" not in ended.err


def test_actors_are_started_again_and_children_s_log_records_handled_at_exit(script):
    source = """if True:
        import logging, sys
        import actors, loggers, tasks
        logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stdout)
        executor = actors.ProcessDo.options(max_restarts=1).executor()
        def say(future):
            print(type(future.exception()).__name__)
        executor.post((tasks.nap, 0.3))
        executor.post((tasks.exit_at_once, 3)).add_done_callback(say)
        executor.post((loggers.log, "child", "warning", "alive")).add_done_callback(say)
    """
    assert script(source).check().out.splitlines() == [
        "ActorDied",
        "futures_actors: actor ProcessDo: its process has died and is being started again",
        "child: alive",
        "NoneType",
    ]


def test_errors_can_be_imported_caught_and_held_at_exit(script):
    source = """if True:
        import actors, tasks
        def look():
            from futures_actors import ActorDied, ActorInitError, BrokenActor, MailboxFull
            try:
                raise ActorDied("it died", 7, -9, True)
            except BrokenActor as error:
                print(repr(error), error.pid, error.exitcode, error.started)
            try:
                actors.ThreadFails.executor(KeyError("refused at exit"))
            except (BrokenActor, RuntimeError) as error:
                print(error)
        executor = actors.ThreadDo.executor()
        executor.post((tasks.nap, 0.3))
        executor.post((tasks.call, look))
    """
    ended = script(source).check()
    said = "ActorDied('it died') 7 -9 True\ncannot start an actor after interpreter shutdown\n"
    assert ended.out == said


def test_what_atexit_functions_post_is_handled_or_refused(kind, script):
    """It is never lost. Python decides whether such a function runs before or after the actors are
    drained."""
    source = f"""if True:
        import actors, atexit, tasks
        executor = actors.{kind.prefix}Do.executor()
        @atexit.register
        def last():
            try:
                print(executor.post((tasks.echo, "handled")).result(30))
            except RuntimeError as error:
                print("refused")
    """
    assert script(source).check().out in ("handled\n", "refused\n")


def test_an_actor_started_in_atexit_works_or_is_refused(kind, script):
    source = f"""if True:
        import actors, atexit, tasks
        @atexit.register
        def last():
            try:
                with actors.{kind.prefix}Do.executor() as executor:
                    print(executor.post((tasks.echo, "handled")).result(30))
            except RuntimeError as error:
                print("refused")
    """
    assert script(source).check().out in ("handled\n", "refused\n")


def test_a_program_exits_with_many_executors_in_hand(kind, script):
    count = 4 if kind.is_process else 50
    source = f"""if True:
        import actors, tasks
        executors = [actors.{kind.prefix}Do.executor() for _ in range({count})]
        futures = [executor.post((tasks.echo, 1)) for executor in executors]
    """
    script(source).check()


def test_a_program_exits_with_a_dead_actor_in_hand(script):
    source = """if True:
        import actors, tasks
        executor = actors.ProcessDo.executor()
        executor.post((tasks.exit_at_once, 3)).exception(30)
        executor.post
    """
    script(source).check()


def test_a_program_exits_with_a_failed_constructor_in_hand(kind, script):
    source = f"""if True:
        import actors
        executor = actors.{kind.prefix}Fails.executor(KeyError("never mind"))
    """
    script(source).check()


def test_a_program_in_development_mode_leaves_no_warning(kind, script):
    source = f"""if True:
        import actors, tasks
        executor = actors.{kind.prefix}Do.executor()
        executor.post((tasks.echo, 1)).result(30)
        with actors.{kind.prefix}Do.executor() as other:
            other.post((tasks.echo, 1))
    """
    ended = script(source, flags=["-X", "dev", "-W", "error"])
    # In this mode asyncio tells what has taken long, as anything may where the machine is busy.
    ended.err = re.sub(r"^Executing <.*> took .* seconds\n", "", ended.err, flags=re.MULTILINE)
    ended.check()


def test_unused_executors_do_not_keep_a_program(kind, script):
    script(f"import actors; executor = actors.{kind.prefix}Do.executor()").check()
