"""Which classes are async actors, and what only these may ask for."""

import asyncio
import functools
import inspect
import sys

import pytest

import actors
import asynchronous
from gates import PATIENCE


class Doubles:
    """An object that is called, and is a coroutine function in no other way."""

    async def __call__(self, message):
        await asyncio.sleep(0)
        return message * 2


async def double(_actor, message):
    await asyncio.sleep(0)
    return message * 2


def double_later(actor, message):
    return double(actor, message)


def calls(function):
    """Wrap a coroutine function in another."""

    @functools.wraps(function)
    async def call(*args):
        return await function(*args)

    return call


class ByType:
    @functools.singledispatchmethod
    async def handle(self, message):
        raise TypeError(type(message))

    @handle.register
    async def _(self, message: int):
        return await double(self, message)


class ByTypeWithPlainDefault:
    @functools.singledispatchmethod
    def handle(self, message):
        raise TypeError(type(message))

    @handle.register
    async def _(self, message: int):
        return await double(self, message)


class Proxy:
    """What it stands for is not there yet."""

    def __getattr__(self, name):
        raise RuntimeError(name)


class HasProxy:
    proxy = Proxy()

    def handle(self, message):
        return message


HANDLES = {
    "a function": double,
    "a wrapped function": calls(double),
    "a partial method": functools.partialmethod(double),
    "a static method": staticmethod(functools.partial(double, None)),
    "a class method": classmethod(double),
    "a method by type": vars(ByType)["handle"],
    "a method by type whose default is plain": vars(ByTypeWithPlainDefault)["handle"],
    "an object": Doubles(),
}
if sys.version_info >= (3, 12):
    HANDLES["a marked function"] = inspect.markcoroutinefunction(double_later)


@pytest.mark.parametrize("handle", HANDLES.values(), ids=HANDLES)
def test_an_actor_is_async_whose_handle_is(base, handle):
    class Handles:
        pass

    Handles.handle = handle
    cls = type("Inherits", (Handles, base), {"__module__": "not_a_module"})
    with cls.options(max_concurrency=2).executor() as executor:
        assert executor.post(3).result(PATIENCE) == 6


def test_an_attribute_that_is_an_object_with_async_calls_makes_no_async_actor(base):
    class Serves(base):
        app = Doubles()

        def handle(self, message):
            return asyncio.run(self.app(message))

    with Serves.executor() as executor:
        assert executor.post(3).result(PATIENCE) == 6


def test_an_attribute_is_not_asked_for_its_attributes(base):
    cls = type("Has", (HasProxy, base), {"__module__": "not_a_module"})
    with cls.executor() as executor:
        assert executor.post(3).result(PATIENCE) == 3


def test_only_the_nearest_method_of_a_name_counts(base):
    class Async(base):
        async def handle(self, message):
            return message

    class Plain(Async):
        def handle(self, message):
            return message

    with pytest.raises(ValueError, match="max_concurrency is for async actors"):
        Plain.options(max_concurrency=2)


def test_several_messages_at_a_time_are_for_async_actors(kind):
    class Several(kind.actor(actors.Do), mailbox_size=3):
        pass

    if kind.is_async:
        Several.options(max_concurrency=2)
        return
    if kind.base == "Ray":
        with pytest.raises(TypeError, match="max_concurrency"):
            Several.options(max_concurrency=2)
        return

    class Makes(Several, max_concurrency=2):
        pass

    for start in (Makes.executor, Makes.options, lambda: Several.options(max_concurrency=2)):
        with pytest.raises(ValueError, match=r"max_concurrency is for async actors, .*`pool\(n\)`"):
            start()

    class Handles(Makes):
        async def handle(self, message):
            return message

    with Handles.executor() as executor:
        assert executor.post(1).result(PATIENCE) == 1


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (65_537, ValueError), ("2", TypeError), (True, TypeError)]
)
def test_a_bad_max_concurrency_is_refused(base, value, error):
    with pytest.raises(error, match="max_concurrency must be"):
        asynchronous.make(base, max_concurrency=value)


def test_as_many_messages_as_there_are_slots_is_not_too_many(base):
    asynchronous.make(base, max_concurrency=65_536).options()
