"""Programs whose interpreter ends without a fault, wherever daemon threads are and whatever still
refers to actors and futures."""

import signal
import sys
import time

import pytest

import observe
import programs

pytestmark = pytest.mark.not_on_ray("they are about the end of this process")


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
    # The base classes are the package's, and the others those of `actors`.
    source = source.replace("KINDActor", f"{kind.base}Actor").replace("KIND", kind.prefix)
    script("if True:" + source).check()


#: Calls of a daemon thread that run code of its caller, in which the thread stays.
STAYS = {
    "a timeout": "ActorFuture().result(TakesLong())",
    "the timeout of a post": "executor.post((tasks.echo, 1), timeout=TakesLong())",
    "the timeout of a shutdown": "executor.shutdown(timeout=TakesLong())",
    "the timeout of a stream": "executor.stream((tasks.echo, 1), timeout=TakesLong())",
    "how far a stream is ahead": "executor.stream((tasks.echo, 1), ahead=LongNumber(1))",
    "the key of a message": "pool.post((tasks.echo, 1), key=TakesLong())",
    "the key of a member": "pool.keyed(TakesLong())",
    "the message of a cancelled future": "future.cancel()",
    "the messages of an actor that is ended": "executor.terminate()",
    "the messages of an actor that is shut down": "executor.shutdown(False, cancel_futures=True)",
    "an answer that is dropped": "answers.clear()",
    "an answer that is replaced": "setattr(answers[0], '_result', 1)",
    "an answer that the collector frees": "cycles.clear(); gc.collect()",
    "the items of a stream": "streams[0].close()",
    "the items of a stream that is dropped": "streams.clear()",
}


@pytest.mark.parametrize("call", STAYS.values(), ids=STAYS)
def test_the_interpreter_ends_while_a_call_runs_code_of_a_daemon_thread(script, call):
    script(f"""if True:
        import gc, threading
        import actors, tasks
        from futures_actors import ActorFuture, ThreadActor

        begun = threading.Event()
        staying = set()

        class TakesLong:
            # An object that is freed late, as without the GIL, finds no globals any more.
            def stay(self, get_ident=threading.get_ident, staying=staying):
                if get_ident() in staying:
                    begun.set()
                    while True:
                        pass
            __float__ = __hash__ = __del__ = stay

        class LongNumber(int):
            def __le__(self, other):
                TakesLong.stay(self)

        class Yields(ThreadActor):
            def handle(self, message):
                yield TakesLong()
                came.set()

        def call():
            staying.add(threading.get_ident())
            {call}
            # Without the GIL an object is freed by the thread that made it, or by a collection, and
            # what it has held by the next one.
            for _ in range(3):
                gc.collect()

        gc.disable()
        came = threading.Event()
        thread = threading.Thread(target=call, daemon=True)
        executor, pool = actors.ThreadDo.executor(), actors.ThreadDo.pool(2).executor()
        # So that the messages behind this one have not begun when the thread ends them.
        runs = executor.post((tasks.call, begun.wait))
        while not runs.running():
            pass
        future = executor.post((tasks.echo, TakesLong()))
        yields = Yields.executor()
        streams = [yields.stream(1)]
        came.wait()
        answers, cycles = [ActorFuture()], [ActorFuture()]
        answers[0].set_result(TakesLong())
        cycles[0].set_result([cycles[0], TakesLong()])
        thread.start()
        begun.wait()
    """).check()


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


@observe.on_unix
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
