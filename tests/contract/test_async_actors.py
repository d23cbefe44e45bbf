"""Actors with async handlers: their loop, and how many messages run at a time."""

import asyncio
import contextvars
import logging
import os
import sys
import threading

import pytest

import actors
import asynchronous
import futures_actors
import observe
import programs
import tasks
from gates import PATIENCE

variable = contextvars.ContextVar("variable", default="unset")


def test_all_code_of_an_actor_runs_on_one_loop(base):
    with asynchronous.make(base).executor() as executor:
        assert executor.post(("count_loops",)).result(PATIENCE) == (3, 1)


def test_by_default_one_message_runs_at_a_time(base):
    with asynchronous.make(base).executor() as executor:
        first = executor.post(("wait", "first"))
        programs.wait_until(first.running, PATIENCE)
        second = executor.post(("echo", 2))
        assert not second.running()
        assert second.cancel()
        assert not first.cancel()
        executor.terminate()
    assert isinstance(first.exception(PATIENCE), futures_actors.BrokenActor)


def test_messages_begin_in_order_and_end_in_any_order(base):
    with asynchronous.make(base, max_concurrency=4).executor() as executor:
        waiting = [executor.post(("wait", name)) for name in "abc"]
        asynchronous.wait_for_log(executor, *"abc")
        assert all(future.running() for future in waiting)
        for name, future in zip("bca", [waiting[1], waiting[2], waiting[0]], strict=True):
            executor.post(("set", name)).result(PATIENCE)
            assert future.result(PATIENCE) == name


def test_no_more_messages_run_than_the_option_says(base):
    with asynchronous.make(base, max_concurrency=3).executor() as executor:
        waiting = [executor.post(("wait", name)) for name in "abc"]
        for future in waiting:
            programs.wait_until(future.running, PATIENCE)
        late = executor.post(("set", "a"))
        later = executor.post(("maximum",))
        assert executor.stats().running == 3
        assert executor.stats().depth == 2
        assert not late.running()
        assert late.cancel()
        executor.terminate()
    assert all(isinstance(each.exception(0), futures_actors.BrokenActor) for each in waiting)
    assert isinstance(later.exception(0), futures_actors.BrokenActor)


@pytest.mark.parametrize("count", [1, 7, 600])
def test_many_messages_run_at_once(base, count):
    with asynchronous.make(base, max_concurrency=count + 1).executor() as executor:
        waiting = [executor.post(("wait", number)) for number in range(count)]
        asynchronous.wait_for_log(executor, *range(count))
        for number in range(count):
            executor.tell(("set", number))
        assert [future.result(PATIENCE) for future in waiting] == list(range(count))


def test_a_full_mailbox_has_room_when_a_message_begins(base):
    cls = asynchronous.make(base, max_concurrency=2, mailbox_size=1)
    with cls.executor() as executor:
        waiting = [executor.post(("wait", name), timeout=PATIENCE) for name in "ab"]
        for future in waiting:
            programs.wait_until(future.running, PATIENCE)
        late = executor.post(("echo", "late"), timeout=PATIENCE)
        with pytest.raises(futures_actors.MailboxFull):
            executor.post(("echo", "too late"), timeout=0)
        assert late.cancel()
        executor.terminate()


class Contexts(futures_actors.ThreadActor, max_concurrency=2):
    async def on_start(self):
        variable.set("of the start")

    async def handle(self, message):
        before = variable.get()
        variable.set(message)
        await asyncio.sleep(0)
        return before, variable.get()


class FarContexts(futures_actors.ProcessActor, max_concurrency=2):
    on_start = Contexts.on_start
    handle = Contexts.handle


@pytest.mark.parametrize("cls", [Contexts, FarContexts])
def test_each_message_has_a_context_of_its_own(cls):
    variable.set("of the caller")
    with cls.executor() as executor:
        answers = [executor.post(number) for number in range(5)]
        assert [each.result(PATIENCE) for each in answers] == [
            ("of the start", number) for number in range(5)
        ]


class Methods:
    async def add(self, one, other):
        await asyncio.sleep(0)
        return one + other

    def plain(self, value):
        return value

    async def several(self):
        yield 1


async def where(value):
    await asyncio.sleep(0)
    return os.getpid(), value


def test_methods_and_submitted_functions_may_be_coroutine_functions(base):
    cls = type("Account", (Methods, base), {"__module__": "not_a_module"})
    with cls.executor() as executor:
        assert executor.proxy().add(1, 2).result(PATIENCE) == 3
        assert executor.proxy().plain(1).result(PATIENCE) == 1
        assert executor.submit(where, 3).result(PATIENCE)[1] == 3
        assert executor.submit(len, "abc").result(PATIENCE) == 3


def test_an_actor_that_is_not_async_refuses_coroutine_functions(kind):
    if kind.is_async:
        pytest.skip("it is async")
    with kind.start(actors.Do) as executor, pytest.raises(TypeError, match="async def handle"):
        executor.submit(where, 1).result(PATIENCE)


# What can be seen of it.


class Blocks(futures_actors.ThreadActor, max_concurrency=2):
    """A message without a gate runs until one with a gate has blocked the loop."""

    def __init__(self):
        self.passed = asyncio.Event()

    async def handle(self, gate):
        if gate is None:
            await self.passed.wait()
            self.passed.clear()
            return
        gate.wait()
        self.passed.set()


class FarBlocks(futures_actors.ProcessActor, max_concurrency=2):
    __init__ = Blocks.__init__
    handle = Blocks.handle


@pytest.mark.parametrize("cls", [Blocks, FarBlocks])
def test_a_loop_that_stands_still_while_messages_run_is_logged_once(cls, gates, caplog):
    with caplog.at_level(logging.WARNING), cls.executor() as executor:
        for _ in range(2):
            gate = gates()
            waiting = executor.post(None), executor.post(gate)
            gate.reached()
            opener = threading.Timer(1.6, gate.open)
            opener.start()
            for future in waiting:
                future.result(PATIENCE)
            opener.join()
    programs.wait_until(lambda: caplog.records)
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"actor {cls.__name__}: its event loop stood still for" in said


@pytest.mark.parametrize("cls", [Blocks, FarBlocks])
def test_a_loop_that_stands_still_while_messages_have_not_begun_is_logged(cls, gate, caplog):
    with caplog.at_level(logging.WARNING), cls.executor() as executor:
        blocking = executor.post(gate)
        gate.reached()
        waiting = executor.post(None)
        opener = threading.Timer(1.6, gate.open)
        opener.start()
        for future in (blocking, waiting):
            future.result(PATIENCE)
        opener.join()
        programs.wait_until(lambda: caplog.records)
    assert "stood still" in caplog.records[0].getMessage()


def test_stats_count_what_runs(base):
    with asynchronous.make(base, max_concurrency=3).executor() as executor:
        futures = [executor.post(("wait", name)) for name in "ab"]
        for future in futures:
            programs.wait_until(future.running, PATIENCE)
        stats = executor.stats()
        assert stats.running == 2
        assert stats.age >= 0
        for name in "ab":
            executor.post(("set", name)).result(PATIENCE)
        for future in futures:
            future.result(PATIENCE)
        stats = executor.stats()
        assert (stats.running, stats.age, stats.handled) == (0, None, 4)


def test_a_traceback_shows_the_loop(base):
    observe.need_traceback(is_process=base is futures_actors.ProcessActor)
    with asynchronous.make(base).executor() as executor:
        executor.post(("echo", 1)).result(PATIENCE)
        assert "in drive" in executor.dump_traceback(timeout=PATIENCE)


def test_a_loop_factory_makes_the_loop(base):
    def factory():
        loop = asyncio.SelectorEventLoop()
        loop.is_ours = True
        return loop

    class Looks(base, loop_factory=factory):
        async def handle(self, message):
            return asyncio.get_running_loop().is_ours

    with Looks.executor() as executor:
        assert executor.post(1).result(PATIENCE) is True


class NamesTasks(asyncio.SelectorEventLoop):
    """It makes tasks in its own way."""

    def create_task(self, coroutine, **options):
        task = super().create_task(coroutine, **options)
        task.set_name("by the loop")
        return task


class FactoryTask(asyncio.Task):
    pass


def make_task(loop, coroutine, **options):
    return FactoryTask(coroutine, loop=loop, **options)


def test_messages_run_in_tasks_that_the_loop_makes(base):
    class Names(base, loop_factory=NamesTasks):
        async def handle(self, message):
            return asyncio.current_task().get_name()

    with Names.executor() as executor:
        assert executor.post(1).result(PATIENCE) == "by the loop"


def test_a_handler_may_set_the_task_factory_for_the_messages_after_it(base):
    class Looks(base):
        async def handle(self, message):
            asyncio.get_running_loop().set_task_factory(message)
            return type(asyncio.current_task()) is FactoryTask

    with Looks.executor() as executor:
        factories = [make_task, None, None]
        found = [executor.post(factory).result(PATIENCE) for factory in factories]
        assert found == [False, True, False]


REPLACED = """if True:
    import asyncio, functools, sys
    of_asyncio = asyncio.BaseEventLoop.create_task

    @functools.wraps(of_asyncio)
    def create_task(loop, coroutine, **options):
        task = of_asyncio(loop, coroutine, **options)
        task.set_name("by a library")
        return task

    class Bound:
        def __init__(self, wrapped):
            self.wrapped = wrapped
        def __call__(self, *args, **options):
            return create_task(self.wrapped.__self__, *args, **options)
        def __getattr__(self, name):
            return getattr(self.wrapped, name)

    class Wrapper:
        def __get__(self, loop, cls):
            return Bound(of_asyncio if loop is None else of_asyncio.__get__(loop))

    asyncio.BaseEventLoop.create_task = Wrapper() if sys.argv[1] == "object" else create_task
    from futures_actors import ThreadActor

    class Names(ThreadActor):
        async def handle(self, message):
            return asyncio.current_task().get_name()

    with Names.executor() as executor:
        print(executor.post(1).result())
"""


@pytest.mark.parametrize("by", ["function", "object"])
def test_a_library_may_replace_how_loops_make_tasks(by, tmp_path):
    ended = programs.run(REPLACED, "file", tmp_path, args=[by]).check()
    assert ended.out.strip() == "by a library"


class BrokenLoop(asyncio.SelectorEventLoop):
    """It does not run."""

    def run_forever(self):
        raise RuntimeError("broken")


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_an_actor_ends_whose_loop_does_not_run(thread):
    class Echo(futures_actors.ThreadActor, loop_factory=BrokenLoop):
        async def handle(self, message):
            return message

    with Echo.executor() as executor:
        error = executor.post(1).exception(PATIENCE)
    assert isinstance(error, futures_actors.ActorInitError)
    assert "broken" in str(error)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="it has no eager tasks")
def test_eager_tasks_that_never_wait_make_room_for_the_next(base):
    def factory():
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    class Echo(base, loop_factory=factory):
        async def handle(self, message):
            if message == "waits":
                await asyncio.sleep(0)
            return message

    with Echo.executor() as executor:
        messages = [1, "waits", 2, 3, "waits", 4]
        answers = [executor.post(message) for message in messages]
        assert [answer.result(PATIENCE) for answer in answers] == messages


def raise_key_error():
    raise KeyError("no loop")


def make_closed_loop():
    loop = asyncio.new_event_loop()
    loop.close()
    return loop


@pytest.mark.parametrize(
    ("factory", "match"),
    [
        (raise_key_error, "no event loop: KeyErr"),
        (lambda: None, "loop_factory must return"),
        (make_closed_loop, "loop_factory must return"),
    ],
    ids=["raises", "makes nothing", "makes a closed one"],
)
def test_a_loop_factory_that_makes_no_open_loop_is_an_init_error(base, factory, match):
    class Looks(base, loop_factory=factory):
        async def handle(self, message):
            return message

    with (
        Looks.executor() as executor,
        pytest.raises(futures_actors.ActorInitError, match=match),
    ):
        executor.post(1).result(PATIENCE)


@pytest.mark.parametrize("hook", ["constructor", "on_start"])
def test_what_the_start_of_an_async_actor_raises_is_an_init_error(base, hook):
    class Fails(base):
        def __init__(self):
            if hook == "constructor":
                raise KeyError("k")

        async def on_start(self):
            await asyncio.sleep(0)
            raise KeyError("k")

        def handle(self, message):
            return message

    text = f"{hook} of actor Fails raised"
    with Fails.executor() as executor, pytest.raises(futures_actors.ActorInitError, match=text):
        executor.post(1).result(PATIENCE)


def test_a_told_message_that_raises_is_logged(base, caplog):
    with asynchronous.make(base).executor() as executor:
        executor.tell(("no_such_method",))
        assert executor.post(("echo", 1)).result(PATIENCE) == 1
    assert "handle of a message sent by tell raised" in caplog.text
    assert executor.stats().failed == 1


def test_a_sync_actor_loads_no_asyncio(process):
    with process.start(actors.Do) as executor:
        assert executor.post((tasks.loaded, "asyncio")).result(PATIENCE) == []


DEBUG = """if True:
    import asyncio, sys, warnings
    warnings.simplefilter("error")
    from futures_actors import ProcessActor, ThreadActor

    def make(base):
        class Sleeps(base, max_concurrency=10):
            async def on_start(self):
                # A busy machine may keep the process waiting for long.
                from futures_actors import _heartbeat
                _heartbeat.BLOCKED_AT_LEAST = 60
                asyncio.get_running_loop().set_debug(True)
                asyncio.get_running_loop().slow_callback_duration = 60
            async def handle(self, message):
                assert asyncio.get_running_loop().get_debug()
                await asyncio.sleep(message / 1000)
                return message
            async def count(self, to):
                for number in range(to):
                    await asyncio.sleep(0)
                    yield number
        return Sleeps

    async def main(cls):
        asyncio.get_running_loop().slow_callback_duration = 60
        async with cls.options(mailbox_size=2).executor() as executor:
            print(sum(await asyncio.gather(*[executor.post(number) for number in range(50)])))
            await executor.atell(1)
            assert await (await executor.apost(2)) == 2
            assert [answer async for answer in executor.imap(range(30))] == list(range(30))
            proxy = executor.stream_proxy(ahead=2)
            assert [item async for item in proxy.count(30)] == list(range(30))
            async with proxy.count(10**9) as stream:
                assert await anext(stream) == 0
            running = executor.post(10**9)
            while not running.running():
                await asyncio.sleep(0.001)
            task = asyncio.ensure_future(running)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() and running.request_cancel() in (True, False)

    if __name__ == "__main__":
        for base in (ThreadActor, ProcessActor):
            asyncio.run(main(make(base)), debug=True)
"""


def test_the_debug_mode_of_asyncio_finds_nothing(script):
    ended = script(DEBUG, flags=("-X", "dev"), env={"PYTHONASYNCIODEBUG": "1"})
    assert ended.check().out == "1225\n1225\n"
