"""A task of an async actor may handle several messages in a row, and no handler can tell that."""

import asyncio
import contextvars
import sys
import time
import weakref

import pytest

import asynchronous
from futures_actors import current_message
from gates import PATIENCE

variable = contextvars.ContextVar("variable", default="unset")


class Counting(asyncio.SelectorEventLoop):
    """Counts what it is asked to call soon: at least the first step of each task."""

    calls = 0

    def call_soon(self, *args, **kwargs):
        self.calls += 1
        return super().call_soon(*args, **kwargs)


def count_calls(_actor):
    return asyncio.get_running_loop().calls


def answers_behind(executor, gate, messages):
    """Return the answers to messages that are all there when the first of them begins."""
    futures = asynchronous.post_behind(executor, gate, messages)
    return [future.result(PATIENCE) for future in futures]


@pytest.fixture(params=[1, 8], ids=["one at a time", "8 at a time"])
def many(request, base):
    """Options of an async actor's class, which is made by them."""

    def make(**options):
        bases = asynchronous.Awaits, base
        cls = type("Does", bases, {"__module__": "not_a_module"})
        return cls.options(max_concurrency=request.param, **options)

    return make


def test_a_task_handles_messages_that_do_not_wait_in_a_row(many, gate):
    count = 200
    with many(loop_factory=Counting).executor() as executor:
        before, *_, after = answers_behind(executor, gate, [(count_calls,)] * (count + 1))
    assert after - before < count


def leave_variable(_actor, _task):
    variable.set("left")


def see_variable(_actor, _task):
    return variable.get() == "left"


def leave_name(_actor, task):
    task.set_name("left")


def see_name(_actor, task):
    return task.get_name() == "left"


def learn_name(actor, task):
    actor.log.append(task.get_name())


def see_known_name(actor, task):
    return task.get_name() in actor.log


def learn_name_by_repr(actor, task):
    repr(task)
    actor.log.append(asyncio.Task.get_name(task))


def leave_attribute(_actor, task):
    task.left = True


def see_attribute(_actor, task):
    return hasattr(task, "left")


def leave_reference(actor, task):
    actor.log.append(task)


def leave_weak_reference(actor, task):
    actor.log.append(weakref.ref(task))


def leave_coroutine(actor, task):
    actor.log.append(task.get_coro())


def leave_context(actor, task):
    actor.log.append(task.get_context())


def see_reference(actor, task):
    return task in actor.log


def see_weak_reference(actor, task):
    return any(reference() is task for reference in actor.log)


def see_coroutine(actor, task):
    return any(coroutine is task.get_coro() for coroutine in actor.log)


def see_context(actor, task):
    return any(context is task.get_context() for context in actor.log)


LEFT = {
    "variable": (leave_variable, see_variable),
    "name": (leave_name, see_name),
    "known name": (learn_name, see_known_name),
    "printed name": (learn_name_by_repr, see_known_name),
    "attribute": (leave_attribute, see_attribute),
    "reference": (leave_reference, see_reference),
    "weak reference": (leave_weak_reference, see_weak_reference),
    "coroutine": (leave_coroutine, see_coroutine),
}
if sys.version_info >= (3, 12):
    LEFT["context"] = leave_context, see_context


async def with_task(actor, function):
    return function(actor, asyncio.current_task())


@pytest.mark.parametrize(("leave", "see"), LEFT.values(), ids=LEFT)
def test_a_message_sees_nothing_that_another_has_left_in_its_task(many, gate, leave, see):
    with many().executor() as executor:
        seen = answers_behind(executor, gate, [(with_task, leave), (with_task, see)] * 20)
    assert not any(seen[1::2])


async def cancel_itself(_actor):
    asyncio.current_task().cancel()


async def wait_shortly(_actor):
    await asyncio.sleep(0)
    return "waited"


def test_a_message_that_cancels_its_task_cancels_no_other(many, gate):
    with many().executor() as executor:
        seen = answers_behind(executor, gate, [(cancel_itself,), (wait_shortly,)] * 20)
    assert seen == [None, "waited"] * 20


async def watch_its_task(actor):
    asyncio.current_task().add_done_callback(lambda _: actor.log.append("done"))


async def recall_shortly(actor):
    await asyncio.sleep(0)
    return len(actor.log)


def test_the_task_of_a_message_that_watches_it_ends_with_the_message(many, gate):
    with many().executor() as executor:
        seen = answers_behind(executor, gate, [(watch_its_task,), (recall_shortly,)] * 20)
    assert all(count >= number for number, count in enumerate(seen[1::2], 1))


async def fail(_actor):
    raise KeyError("fails")


async def current_is_new(actor, message):
    """Whether what `current_message()` returns is another one than before, and that has ended."""
    actor.log.append(current_message())
    return message, len(set(map(id, actor.log))) == len(actor.log)


def test_each_message_of_a_row_is_the_current_one(many, gate):
    with many().executor() as executor:
        messages = [(current_is_new, number) for number in range(100)]
        assert answers_behind(executor, gate, messages) == [(n, True) for n in range(100)]


def test_messages_go_on_behind_one_that_waits(base, gates):
    first, second = gates(), gates()
    cls = type("Does", (asynchronous.Awaits, base), {"__module__": "not_a_module"})
    with cls.options(max_concurrency=3).executor() as executor:
        executor.tell((asynchronous.hold, first))
        quick = [executor.post((wait_shortly,)) for _ in range(20)]
        slow = executor.post((asynchronous.pause, second))
        others = [executor.post((with_task, see_name)) for _ in range(20)]
        first.open()
        assert [future.result(PATIENCE) for future in quick] == ["waited"] * 20
        assert [future.result(PATIENCE) for future in others] == [False] * 20
        assert not slow.done()
        second.open()
        assert slow.result(PATIENCE) == "passed"


async def log(actor, number):
    """Every seventh of these waits, so that what is handled in a row changes."""
    actor.log.append(number)
    if number % 7 == 0:
        await asyncio.sleep(0)


async def recall(actor):
    return actor.log


def test_messages_begin_in_order_whether_or_not_others_wait(many, gate):
    numbers = list(range(300))
    with many().executor() as executor:
        answers_behind(executor, gate, [(log, number) for number in numbers])
        assert executor.post((recall,)).result(PATIENCE) == numbers


async def count_turns(actor):
    async def run():
        while True:
            actor.log.append("turn")
            await asyncio.sleep(0)

    actor.task = asyncio.ensure_future(run())


def work(actor):
    time.sleep(0.001)
    return len(actor.log)


def test_other_tasks_have_their_turn_between_messages(many, gate):
    count = 20
    with many().executor() as executor:
        executor.post((count_turns,)).result(PATIENCE)
        first, *_, last = answers_behind(executor, gate, [(work,)] * count)
    # As many begin in one turn as there are places, on loops whose tasks handle one message each.
    assert last - first >= count // 10


def test_a_message_that_fails_ends_with_its_own_error(many, gate):
    with many().executor() as executor:
        messages = [(fail,), (with_task, see_name)] * 20
        futures = asynchronous.post_behind(executor, gate, messages)
        errors = [future.exception(PATIENCE) for future in futures]
    assert [type(error) for error in errors] == [KeyError, type(None)] * 20


def test_an_answer_does_not_wait_for_a_message_behind_that_waits(many, gates):
    first, second = gates(), gates()
    with many().executor() as executor:
        messages = [*[(recall,)] * 3, (asynchronous.pause, second)]
        *quick, slow = asynchronous.post_behind(executor, first, messages)
        assert [future.result(PATIENCE) for future in quick] == [[]] * 3
        assert not slow.done()
        second.open()
        assert slow.result(PATIENCE) == "passed"


def cancel_by_class(_actor):
    asyncio.Task.cancel(asyncio.current_task())


def test_a_message_that_cancels_its_task_by_the_class_cancels_no_other(many, gate):
    with many().executor() as executor:
        seen = answers_behind(executor, gate, [(cancel_by_class,), (wait_shortly,)] * 20)
    assert seen == [None, "waited"] * 20


def set_factory(_actor):
    asyncio.get_running_loop().set_task_factory(asynchronous.make_task)


def is_by_factory(_actor):
    return type(asyncio.current_task()) is asynchronous.FactoryTask


def test_a_task_factory_holds_from_the_next_message_on(base, gate):
    cls = type("Does", (asynchronous.Awaits, base), {"__module__": "not_a_module"})
    messages = [(is_by_factory,), (set_factory,), (is_by_factory,)]
    with cls.executor() as executor:
        assert answers_behind(executor, gate, messages) == [False, None, True]


async def cancel_others(_actor):
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


@pytest.mark.parametrize(
    "loop_factory", asynchronous.LOOP_FACTORIES.values(), ids=asynchronous.LOOP_FACTORIES
)
def test_messages_end_whose_tasks_are_cancelled_before_they_begin(many, gate, loop_factory):
    options = {} if loop_factory is None else {"loop_factory": loop_factory}
    messages = [(wait_shortly,), (cancel_others,), *[(wait_shortly,)] * 8]
    with many(**options).executor() as executor:
        futures = asynchronous.post_behind(executor, gate, messages)
        errors = [future.exception(PATIENCE) for future in futures]
        assert executor.post((wait_shortly,)).result(PATIENCE) == "waited"
    assert {type(error) for error in errors} <= {type(None), asyncio.CancelledError}
