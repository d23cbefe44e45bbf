"""What is kept, and for how long: messages, answers, exceptions and callbacks go when their future
does, cycles are collected, and an actor that waits keeps nothing of its last message."""

import gc
import os
import threading
import weakref
from concurrent import futures

import pytest

import actors
import programs
import tasks
import trouble
from futures_actors import ActorFuture
from gates import PATIENCE
from observe import Thing, is_collected, is_let_go


@pytest.fixture(params=[False, True], ids=["unseen", "looked-into"])
def look_into(request):
    """Does to a future what the standard library does when it waits for it, or does nothing."""

    def look(future):
        if request.param:
            assert isinstance(future._waiters, list)
            future._condition  # noqa: B018 -- made when asked for

    return look


def test_a_cycle_of_a_future_and_its_answer_is_collected(kind, look_into):
    with kind.start(actors.Echo) as executor:
        future = executor.post(actors.Itself())
        look_into(future)
        answer = future.result(PATIENCE)
        answer.future = future
        seen = weakref.ref(answer), weakref.ref(future)
        del answer, future
        assert is_collected(*seen)


def test_a_cycle_of_a_future_and_its_exception_is_collected(kind, look_into):
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.fail, trouble.Custom(7, "reason")))
        look_into(future)
        error = future.exception(PATIENCE)
        error.future = future
        seen = weakref.ref(error), weakref.ref(future)
        del error, future
        assert is_collected(*seen)


def test_a_cycle_of_a_future_and_its_own_attribute_is_collected(kind, look_into):
    with kind.start(actors.Echo) as executor:
        future = executor.post(1)
        look_into(future)
        future.result(PATIENCE)
        future.itself = future
        seen = weakref.ref(future)
        del future
        assert is_collected(seen)


@pytest.mark.parametrize("end", ["answer", "exception", "cancel"])
def test_a_cycle_of_a_future_and_its_callback_is_collected(kind, gate, look_into, end):
    thing = Thing()
    seen = [weakref.ref(thing)]
    with kind.start(actors.Do) as executor:
        running = executor.post((tasks.pause, gate))
        gate.reached()
        message = (tasks.fail, KeyError()) if end == "exception" else (tasks.echo, 1)
        future = executor.post(message)
        future.add_done_callback(lambda _, kept=(thing, future): None)
        look_into(future)
        seen.append(weakref.ref(future))
        del thing
        if end == "cancel":
            assert future.cancel()
        gate.open()
        running.result(PATIENCE)
        futures.wait([future], PATIENCE)
        del future
        assert is_collected(*seen)


def test_a_cycle_of_a_future_that_nobody_ends_is_collected(look_into):
    thing = Thing()
    future = ActorFuture()
    future.add_done_callback(lambda _, kept=(thing, future): None)
    look_into(future)
    seen = weakref.ref(thing), weakref.ref(future)
    del thing, future
    assert is_collected(*seen)


def test_two_futures_that_hold_each_other_are_collected(thread, look_into):
    with thread.start(actors.Echo) as executor:
        boxes = [], []
        first, second = map(executor.post, boxes)
        futures.wait([first, second], PATIENCE)
        look_into(first)
        boxes[0].append(second)
        boxes[1].append(first)
        seen = weakref.ref(first), weakref.ref(second)
        del boxes, first, second
        assert is_collected(*seen)


def test_the_collector_leaves_a_future_in_use_alone(kind, gate, look_into):
    """While the engine has it too, and only the engine."""
    called = []
    done = threading.Event()
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        look_into(future)
        future.add_done_callback(lambda future: called.append(future.result(0)))
        future.add_done_callback(lambda future, cycle=future: done.set())
        del future
        for _ in range(3):
            gc.collect()
        gate.open()
        assert done.wait(PATIENCE)
    assert called == ["passed"]


@pytest.mark.parametrize("ends", ["answer", "exception"])
def test_what_a_message_came_to_goes_with_its_future(kind, look_into, ends):
    """At once, while the actor waits for its next message, and without a call that would drop
    it."""
    with kind.start(actors.Do) as executor:
        for _ in range(10):
            message = (tasks.echo, actors.Itself())
            if ends == "exception":
                message = (tasks.fail_with, "Custom", 7, "reason")
            future = executor.post(message)
            del message
            look_into(future)
            outcome = future.result(PATIENCE) if ends == "answer" else future.exception(PATIENCE)
            seen = weakref.ref(outcome)
            del outcome
            assert seen() is not None
            del future
            assert is_let_go(seen)


def test_an_answer_whose_future_is_dropped_is_let_go(thread):
    message = Thing()
    seen = weakref.ref(message)
    with thread.start(actors.Echo) as executor:
        executor.post(message)
        del message
        assert is_let_go(seen)


@pytest.mark.parametrize("way", ["message", "answer", "exception"])
def test_a_child_keeps_nothing_while_it_waits(process, tmp_path, way):
    """The child has dropped the objects of the last message before the next message comes."""
    path = tmp_path / "gone"
    parent = os.getpid()

    class Message:
        def __del__(self):
            if os.getpid() != parent:
                path.touch()

    def make(actor):
        class Farewell(Exception):
            def __reduce__(self):  # what crosses is no copy of it
                return str, ("farewell",)

            def __del__(self):
                path.touch()

        if way == "exception":
            raise Farewell
        return Farewell()

    message = (tasks.call, id, Message()) if way == "message" else (make,)
    with process.start(actors.Do) as executor:
        future = executor.post(message)
        assert futures.wait([future], PATIENCE).done
        programs.wait_until(path.exists)


@pytest.mark.parametrize("way", ["callback", "wait", "as_completed"])
def test_a_thread_that_waited_does_not_keep_the_answer(kind, gate, way):
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        seen = weakref.ref(future)
        if way == "callback":
            future.add_done_callback(lambda future: future.result())
            gate.open()
            future.result(PATIENCE)
        else:
            threading.Timer(0.02, gate.open).start()
            wait = (
                futures.wait if way == "wait" else lambda *args: list(futures.as_completed(*args))
            )
            wait([future], PATIENCE)
        del future
        assert is_let_go(seen)


def test_an_answer_is_kept_only_by_its_future(any_kind):
    with any_kind.start(actors.Echo) as executor:
        future = executor.post(Thing())
        thing = weakref.ref(future.result(PATIENCE))
        assert thing() is not None
        del future
        assert is_let_go(thing)


def test_a_message_is_let_go_when_it_is_handled(any_kind):
    message = Thing()
    seen = weakref.ref(message)
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.call, id, message))
        future.result(PATIENCE)
        del message
        assert is_let_go(seen)
        assert future.done()


def test_a_cancelled_message_is_let_go(kind, gate):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        message = Thing()
        seen = weakref.ref(message)
        future = executor.post((tasks.call, id, message))
        del message
        assert future.cancel()
        gate.open()
        assert is_let_go(seen)


def test_an_exception_is_kept_only_by_its_future(any_kind):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.fail_with, "Custom", 7, "reason"))
        error = weakref.ref(future.exception(PATIENCE))
        del future
        assert is_let_go(error)


def test_a_callback_is_let_go_when_it_has_run(kind, gate):
    thing = Thing()
    seen = weakref.ref(thing)
    with kind.start(actors.Do) as executor:
        future = executor.post((tasks.pause, gate))
        future.add_done_callback(lambda _, thing=thing: None)
        del thing
        gate.open()
        future.result(PATIENCE)
        assert is_let_go(seen)
        assert future.done()


def test_a_callback_of_a_finished_future_is_not_kept(any_kind):
    thing = Thing()
    seen = weakref.ref(thing)
    with any_kind.start(actors.Echo) as executor:
        future = executor.post(1)
        future.result(PATIENCE)
        future.add_done_callback(lambda _, thing=thing: None)
        del thing
        assert is_let_go(seen)
        assert future.done()


def test_constructor_arguments_are_let_go(kind):
    argument = Thing()
    seen = weakref.ref(argument)
    with kind.start(actors.Ignores, argument) as one:
        one.post(1).result(PATIENCE)
        del argument
        assert is_let_go(seen)
