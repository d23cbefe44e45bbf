"""Programs that exit with work queued: all of it is done and told before the interpreter ends, and
that end is without a fault, wherever daemon threads are."""

import signal
import sys
import time

import pytest

import observe
import programs

pytestmark = pytest.mark.not_on_ray("they are about the end of this process")


# Programs that exit with work queued.

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
    script(source, flags=["-X", "dev", "-W", "error"]).check()


def test_unused_executors_do_not_keep_a_program(kind, script):
    script(f"import actors; executor = actors.{kind.prefix}Do.executor()").check()


# The interpreter's end.

ENDS = {
    "futures in globals": """
        import actors, tasks
        executors = [actors.KINDDo.executor() for _ in range(2)]
        futures = [e.post((tasks.remember, n)) for n in range(50) for e in executors]
        actors.kept = futures
    """,
    "a cycle": """
        import actors, tasks
        class Owner:
            def __init__(self):
                self.executor = actors.KINDDo.executor()
                self.future = self.executor.post((tasks.nap, 0.1))
                self.future.add_done_callback(lambda _: self)
                self.me = self
            def __del__(self):
                self.executor.shutdown(wait=False)
        owner = Owner()
    """,
    "a dropped cycle": """
        import actors, tasks
        def make():
            cycle = [actors.KINDDo.executor()]
            cycle += [cycle, cycle[0].post((tasks.nap, 0.1))]
        make()
    """,
    "a daemon thread that posts": """
        import actors, threading
        executor = actors.KINDCounter.executor()
        executor.post(0).result()
        begun = threading.Event()
        def post():
            while True:
                try:
                    executor.post(1).result()
                except RuntimeError:
                    return
                begun.set()
        threading.Thread(target=post, daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that waits": """
        import actors, tasks, threading
        executor = actors.KINDDo.executor()
        future = executor.post((tasks.nap, 0.3))
        def look():
            try:
                executor.dump_traceback()
            except RuntimeError:  # it came too late
                pass
        for wait in (future.result, executor.shutdown, look):
            threading.Thread(target=wait, daemon=True).start()
    """,
    "a daemon thread that starts actors": """
        import actors, threading
        begun = threading.Event()
        def start():
            while True:
                try:
                    executor = actors.KINDCounter.executor()
                    executor.post(1).result()
                except RuntimeError:
                    return
                begun.set()
        threading.Thread(target=start, daemon=True).start()
        begun.wait()
    """,
    "daemon threads that cancel": """
        import actors, tasks, threading
        executor = actors.KINDDo.executor()
        executor.post((tasks.nap, 0.3))
        begun = threading.Event()
        def cancel():
            while True:
                try:
                    future = executor.post((tasks.echo, 1))
                except RuntimeError:
                    return
                future.add_done_callback(lambda _: sum(range(3000)))
                future.cancel()
                begun.set()
        for _ in range(3):
            threading.Thread(target=cancel, daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that is in a callback": """
        import actors, tasks, threading
        begun = threading.Event()
        def spin(future):
            begun.set()
            while True:
                pass
        with actors.KINDDo.executor() as executor:
            future = executor.post((tasks.echo, 1))
            future.result()
        threading.Thread(target=future.add_done_callback, args=[spin], daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that is pickling": """
        import actors, tasks, threading
        begun = threading.Event()
        class Spins:
            def __reduce__(self):
                begun.set()
                while True:
                    pass
        executor = actors.ProcessDo.executor()
        executor.post((tasks.echo, 1)).result()
        threading.Thread(target=executor.post, args=[Spins()], daemon=True).start()
        begun.wait()
    """,
    "a daemon thread whose start takes time": """
        import actors, threading, time
        begun = threading.Event()
        class Slow:
            def __reduce__(self):
                begun.set()
                end = time.monotonic() + 0.5
                while time.monotonic() < end:
                    pass
                return int, ()
        def start():
            try:
                actors.ProcessDo.executor(Slow())
            except RuntimeError:
                pass
        threading.Thread(target=start, daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that loads the modules of the first executor": """
        import sys, threading, time
        from futures_actors import ThreadActor, ProcessActor
        begun = threading.Event()
        class Slow:
            def find_spec(self, name, path=None, target=None):
                begun.set()
                end = time.monotonic() + 0.2
                while "futures_actors" in name and time.monotonic() < end:
                    pass
        class Idle(KINDActor):
            def handle(self, message):
                pass
        def start():
            try:
                Idle.executor().post(1)
            except RuntimeError:  # it came too late
                pass
        sys.meta_path.insert(0, Slow())
        threading.Thread(target=start, daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that loads the module of options": """
        import sys, threading
        from futures_actors import KINDActor
        begun = threading.Event()
        class Slow:
            def find_spec(self, name, path=None, target=None):
                begun.set()
                while True:
                    pass
        sys.meta_path.insert(0, Slow())
        threading.Thread(target=KINDActor.options, daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that awaits": """
        import asyncio, threading
        from futures_actors import ActorFuture
        begun = threading.Event()
        def spin():
            begun.set()
            while True:
                pass
        async def wait():
            asyncio.get_running_loop().create_future = spin
            await ActorFuture()
        threading.Thread(target=asyncio.run, args=[wait()], daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that ends what others wait for": """
        import threading
        from futures_actors import ActorFuture
        begun = threading.Event()
        class Spins(threading.Condition):
            def notify_all(self):
                begun.set()
                while True:
                    pass
        future = ActorFuture()
        future._condition.__class__ = Spins
        threading.Thread(target=future.set_result, args=[1], daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that makes an actor of several bases": """
        import threading
        from futures_actors import KINDActor
        begun = threading.Event()
        class Spins:
            def __new__(cls):
                begun.set()
                while True:
                    pass
        class Both(KINDActor, Spins):
            pass
        threading.Thread(target=Both, daemon=True).start()
        begun.wait()
    """,
    "a daemon thread that makes an actor's class": """
        import threading
        from futures_actors import KINDActor
        begun = threading.Event()
        class Spins:
            def __init_subclass__(cls):
                begun.set()
                while True:
                    pass
        bases = KINDActor, Spins
        threading.Thread(target=type, args=["Both", bases, {}], daemon=True).start()
        begun.wait()
    """,
    "a callback that posts": """
        import actors
        executor = actors.KINDCounter.executor()
        def again(future):
            try:
                executor.post(1).add_done_callback(again)
            except RuntimeError:
                pass
        executor.post(1).add_done_callback(again)
    """,
    "logging": """
        import actors, loggers, logging
        logging.basicConfig(level="INFO", stream=open("log", "w"))
        executor = actors.KINDDo.executor()
        for n in range(200):
            executor.post((loggers.log, "a", "info", "%d", n))
    """,
}


@pytest.mark.parametrize("source", ENDS.values(), ids=ENDS)
def test_the_interpreter_ends_without_a_fault(kind, script, source):
    if "actors.Process" in source and sys.platform == "win32":
        pytest.skip("there are no process actors")
    # The base classes are the package's, and the others those of `actors`.
    source = source.replace("KINDActor", f"{kind.base}Actor").replace("KIND", kind.prefix)
    script("if True:" + source).check()


def test_an_exit_that_is_interrupted_ends_as_an_interrupted_program_does(script):
    ended = script("""if True:
        import _thread, threading, time
        import actors, tasks
        ending = threading.Event()
        def interrupt():
            ending.wait()
            while True:
                time.sleep(1)
                _thread.interrupt_main()
        executor = actors.ThreadDo.executor()
        executor.post((tasks.spin, 3600))
        threading.Thread(target=interrupt, daemon=True).start()
        # Called just before what waits for the actors.
        threading._register_atexit(ending.set)
    """)
    by_ctrl_c = 0xC000013A if sys.platform == "win32" else -signal.SIGINT
    assert ended.status == by_ctrl_c, ended


def test_a_handle_that_never_ends_is_left_at_the_second_ctrl_c(kind, program):
    one = program(f"""if True:
        import actors, tasks
        executor = actors.{kind.prefix}Do.executor()
        executor.post((tasks.say, "handling")).result(30)
        executor.post((tasks.spin, 3600))
        print("ending")
    """)
    lines = {one.line(), one.line()}
    assert lines == {"handling", "ending"}
    observe.wait_until_asleep(one.pid, one.pid)
    waiting = observe.tasks_of(one.pid)[one.pid]
    begun = time.monotonic()
    one.signal(signal.SIGINT)
    programs.wait_until(lambda: observe.tasks_of(one.pid)[one.pid] != waiting)
    observe.wait_until_asleep(one.pid, one.pid)
    # After the first one it ends by itself in two seconds.
    assert not programs.is_gone(one.pid) or time.monotonic() - begun > 2
    one.signal(signal.SIGINT)
    one.wait()  # the actor would be busy for an hour
    programs.wait_until(lambda: not programs.others_of_session(one.pid))
