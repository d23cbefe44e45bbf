"""Answers whose code has not run yet: the body of a generator or a coroutine would run in the
caller's thread. They are refused, whatever was called and whichever way the caller waits."""

import asyncio
import functools
import gc
import warnings

import pytest

import actors
import tasks
from futures_actors import ProcessActor, ThreadActor
from gates import PATIENCE

ran = []


def generate(*_):
    ran.append("generate")
    yield 1


async def work(*_):
    ran.append("work")


async def generate_async(*_):
    ran.append("generate_async")
    yield 1


def expression(*_):
    return (ran.append(number) for number in range(3))


FUNCTIONS = {
    "generator": (generate, "a generator.*return a list"),
    "generator expression": (expression, "a generator.*return a list"),
    "coroutine": (work, "a coroutine.*async def handle"),
    "async generator": (generate_async, "an async generator.*async def"),
    "lambda": (lambda *_: work(), "a coroutine.*async def handle"),
    "partial": (functools.partial(generate), "a generator.*return a list"),
}


class Methods:
    """When a method here returns, the body of its result has not run."""

    generator = generate

    def look(self):
        return what_ran()

    # Not `async def`, which would make it an async actor.
    def coroutine(self):
        return work()

    def async_generator(self):
        return generate_async()


class Generates(Methods):
    def handle(self, message):
        ran.append("handle")
        yield message


class Coroutine(Methods):
    def handle(self, message):
        return work(message)


class AsyncGenerates(Methods):
    def handle(self, message):
        return generate_async(message)


HANDLERS = {
    Generates: "a generator.*return a list",
    Coroutine: "a coroutine.*async def handle",
    AsyncGenerates: "an async generator.*async def",
}


def start(kind, body):
    """Start an actor of a class that crosses by value, as one of a script does."""
    base = {"Thread": ThreadActor, "Process": ProcessActor}[kind.base]
    return type(body.__name__, (body, base), {}).executor()


@pytest.fixture(params=["thread", "process"])
def kind(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def _nothing_ran_nor_warned():
    """No body ran in this process, and no coroutine warns that it was never awaited."""
    ran.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert not ran
    assert not [str(one.message) for one in caught if "never awaited" in str(one.message)]


def what_ran():
    gc.collect()
    return list(ran)


@pytest.mark.parametrize("body", HANDLERS)
def test_a_handler_whose_answer_has_not_run_is_refused(kind, body):
    with start(kind, body) as executor:
        for _ in range(2):
            error = executor.post(1).exception(PATIENCE)
            assert type(error) is TypeError
            text = f"^handle of actor {body.__name__} returned {HANDLERS[body]}"
            with pytest.raises(TypeError, match=text):
                raise error
        assert executor.proxy().look().result(PATIENCE) == []


@pytest.mark.parametrize(("function", "text"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_whose_result_has_not_run_is_refused(kind, function, text):
    with kind.start(actors.Do) as executor:
        with pytest.raises(
            TypeError, match=f"^the submitted function of actor .*Do returned {text}"
        ):
            executor.submit(function).result(PATIENCE)
        with pytest.raises(TypeError, match=f"^handle of actor .*Do returned {text}"):
            executor.post((function,)).result(PATIENCE)
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


@pytest.mark.parametrize("method", ["generator", "coroutine", "async_generator"])
def test_a_method_whose_result_has_not_run_is_refused(kind, method):
    with start(kind, Generates) as executor:
        future = getattr(executor.proxy(), method)()
        with pytest.raises(TypeError, match=f"^method {method} of actor Generates returned a"):
            future.result(PATIENCE)


@pytest.mark.parametrize("body", HANDLERS)
def test_a_told_message_whose_answer_has_not_run_is_logged(kind, body, caplog):
    with start(kind, body) as executor:
        executor.tell(1)
    (record,) = caplog.records
    assert record.name == "futures_actors"
    assert "handle of a message sent by tell" in record.getMessage()
    text = record.exc_text or str(record.exc_info[1])
    assert f"handle of actor {body.__name__} returned " in text


def test_a_process_actors_coroutine_warns_of_nothing(process, capfd):
    with start(process, Coroutine) as executor:
        executor.post(1).exception(PATIENCE)
        executor.tell(1)
        executor.proxy().coroutine().exception(PATIENCE)
        executor.proxy().look().result(PATIENCE)
    assert "never awaited" not in capfd.readouterr().err


def test_a_coroutine_that_has_begun_is_left_to_its_runner(thread):
    """It is refused like any other coroutine, and goes on running where it runs."""

    async def main():
        begun, gate = asyncio.Event(), asyncio.Event()

        async def waits():
            begun.set()
            await gate.wait()
            return "done"

        task = asyncio.create_task(waits())
        await begun.wait()
        with thread.start(actors.Do) as executor:
            refused = executor.submit(task.get_coro).exception(PATIENCE)
        assert "returned a coroutine" in str(refused)
        gate.set()
        return await task

    assert asyncio.run(main()) == "done"


@pytest.mark.parametrize("make", [iter, enumerate, functools.partial(map, str)], ids=str)
def test_other_iterators_are_answers(kind, make):
    with kind.start(actors.Do) as executor:
        assert list(executor.submit(make, [1, 2]).result(PATIENCE)) == list(make([1, 2]))


def test_other_awaitables_are_answers(thread):
    with thread.start(actors.Echo) as executor:
        inner = executor.post(1)
        assert executor.post(inner).result(PATIENCE) is inner
