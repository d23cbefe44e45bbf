"""Bad input: what cannot be pickled or unpickled, and actors that try to end more than their
message. Nothing hangs, no accepted message is lost silently, nothing is left behind."""

import asyncio
import pickle
import sys
import threading
import types
from concurrent.futures import Future

import pytest

import actors
import observe
import tasks
import trouble
from gates import PATIENCE

PICKLE_ERRORS = (TypeError, pickle.PicklingError, AttributeError)

# What cannot be pickled.


@pytest.mark.parametrize("where", ["args", "kw"])
def test_constructor_arguments_that_cannot_be_pickled_are_refused_at_once(process, where):
    bad = threading.Lock()
    with pytest.raises(PICKLE_ERRORS) as caught:
        process.start(
            actors.Arguments, *[bad] * (where == "args"), **{"x": bad} if where == "kw" else {}
        )
    assert "ProcessArguments" in str(caught.value)


def test_constructor_arguments_of_a_thread_actor_need_no_pickling(thread):
    lock = threading.Lock()
    with thread.start(actors.Arguments, lock) as executor:
        assert executor.post(None).result(PATIENCE) == ((lock,), {})


def test_message_that_cannot_be_pickled_fails_its_own_future(process, gate):
    with process.start(actors.Do) as executor:
        before = executor.post((tasks.pause, gate))
        bad = executor.post((tasks.echo, threading.Lock()))
        after = executor.post((tasks.remember, "after"))
        assert isinstance(bad.exception(PATIENCE), PICKLE_ERRORS)
        gate.open()
        assert before.result(PATIENCE) == "passed"
        assert after.result(PATIENCE) == 1


def test_what_only_children_of_multiprocessing_can_have_is_refused_with_the_way_out(script):
    """In a program of its own, because these objects keep memory that would count as left
    behind."""
    script("""if True:
        import multiprocessing as mp
        from actors import ProcessEcho
        things = mp.Lock(), mp.Event(), mp.Queue(), mp.Value("i"), mp.RawArray("i", 3)
        with ProcessEcho.options(name="the taker").executor() as executor:
            for thing in things:
                error = executor.post(thing).exception(30)
                assert type(error) is RuntimeError
                assert "message for actor the taker" in str(error)
                assert "multiprocessing.Manager()" in str(error)
            assert executor.post("alive").result(30) == "alive"
    """).check()


@pytest.mark.parametrize("mode", ["rb", "r", "w+", "r+b"])
def test_an_open_file_is_refused(process, mode, tmp_path):
    path = tmp_path / "file"
    path.touch()
    with path.open(mode) as file, process.start(actors.Echo) as executor:
        error = executor.post([file]).exception(PATIENCE)
        assert isinstance(error, PICKLE_ERRORS)
        assert "ProcessEcho" in str(error)
        with pytest.raises(PICKLE_ERRORS):
            process.start(actors.Arguments, file)


def test_a_function_of_main_may_print_to_a_standard_stream(script):
    ended = script("""if True:
        import sys
        from actors import ProcessEcho
        out = sys.stdout
        def say(text):
            print(text, file=out, flush=True)
        with ProcessEcho.executor() as executor:
            executor.submit(say, "said").result(30)
    """).check()
    assert ended.out == "said\n"


def test_message_that_need_not_be_pickled_is_not(thread):
    lock = threading.Lock()
    with thread.start(actors.Echo) as executor:
        assert executor.post(lock).result(PATIENCE) is lock


@pytest.mark.parametrize(
    "error", [ValueError("no"), MemoryError("no"), RecursionError("no")], ids=repr
)
def test_message_whose_own_pickling_raises_fails_its_own_future(process, error):
    with process.start(actors.Echo) as executor:
        got = executor.post(trouble.RefusesToPickle(error)).exception(PATIENCE)
        assert "no" in str(got)
        assert executor.post("alive").result(PATIENCE) == "alive"


def test_message_nested_too_deeply_fails_its_own_future(process):
    with process.start(actors.Echo) as executor:
        future = executor.post(nested(100_000))
        assert isinstance(future.exception(PATIENCE), (RecursionError, pickle.PicklingError))
        assert executor.post("alive").result(PATIENCE) == "alive"


def test_a_future_is_no_message_for_a_process(process):
    with process.start(actors.Echo) as executor:
        future = executor.post("alive")
        assert isinstance(executor.post(future).exception(PATIENCE), PICKLE_ERRORS)
        assert future.result(PATIENCE) == "alive"


def asyncio_future():
    loop = asyncio.new_event_loop()
    loop.close()
    return loop.create_future()


@pytest.mark.parametrize("make", [Future, asyncio_future])
def test_an_error_says_what_to_send_instead_of_any_future(process, make):
    with process.start(actors.Echo) as executor:
        error = executor.post(["a list with", make()]).exception(PATIENCE)
        assert isinstance(error, TypeError)
        assert "Future" in str(error) and "post its result() instead" in str(error)


def test_answer_that_cannot_be_pickled_fails_its_own_future(process):
    with process.start(actors.Do) as executor:
        bad = executor.post((tasks.answer_with_lock,))
        after = executor.post((tasks.echo, "alive"))
        assert isinstance(bad.exception(PATIENCE), PICKLE_ERRORS)
        assert after.result(PATIENCE) == "alive"


def test_answer_that_need_not_be_pickled_is_not(thread):
    with thread.start(actors.Do) as executor:
        assert not executor.post((tasks.answer_with_lock,)).result(PATIENCE).locked()


def test_message_that_fails_to_unpickle_fails_its_own_future(process):
    with process.start(actors.Echo) as executor:
        bad = executor.post(trouble.BreaksElsewhere("this message"))
        after = executor.post("alive")
        assert "this message does not travel" in words(bad.exception(PATIENCE))
        assert after.result(PATIENCE) == "alive"


def test_answer_that_fails_to_unpickle_fails_its_own_future(process):
    with process.start(actors.Do) as executor:
        bad = executor.post((tasks.answer_in_process, "this answer"))
        after = executor.post((tasks.echo, "alive"))
        assert "this answer does not travel" in words(bad.exception(PATIENCE))
        assert after.result(PATIENCE) == "alive"


def test_callbacks_run_for_an_answer_that_fails_to_unpickle(process):
    rung = threading.Event()
    with process.start(actors.Do) as executor:
        future = executor.post((tasks.answer_in_process, "this answer"))
        future.add_done_callback(lambda _: rung.set())
        assert rung.wait(PATIENCE)
        assert "does not travel" in words(future.exception(0))


def test_constructor_argument_that_fails_to_unpickle_is_an_init_error(process):
    with process.start(actors.Arguments, trouble.BreaksElsewhere("this argument")) as executor:
        error = observe.init_error(executor)
    assert "this argument does not travel" in words(error)
    assert "constructor of actor" not in str(error)
    assert "arguments of actor ProcessArguments cannot be loaded in its process" in str(error)


def test_class_that_the_child_cannot_import_is_an_init_error(process, monkeypatch):
    """The parent's pickle finds the module; the child has no file to import it from."""
    module = types.ModuleType("made_at_run_time")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    cls = type("Rootless", (process.actor(actors.Echo),), {"__module__": module.__name__})
    module.Rootless = cls
    with cls.executor() as executor:
        error = observe.init_error(executor)
    assert "made_at_run_time" in str(error)
    assert "constructor of actor" not in str(error)
    assert "class or the constructor arguments of actor Rootless cannot be loaded" in str(error)


def words(error):
    """Everything that an exception and its causes say."""
    said = []
    while error is not None:
        said.append(str(error))
        error = error.__cause__
    return "\n".join(said)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


# Actors that try to end more than their message.


def test_sys_exit_in_handle_ends_nothing(any_kind):
    with any_kind.start(actors.Do) as executor:
        error = executor.post((tasks.exit_politely, 3)).exception(PATIENCE)
        assert type(error) is SystemExit
        assert error.code == 3
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"


def test_keyboard_interrupt_in_handle_ends_nothing(any_kind):
    with any_kind.start(actors.Do) as executor:
        future = executor.post((tasks.fail, KeyboardInterrupt()))
        assert type(future.exception(PATIENCE)) is KeyboardInterrupt
        assert executor.post((tasks.echo, "alive")).result(PATIENCE) == "alive"


def test_endless_recursion_in_a_thread_actor_ends_in_an_exception(script):
    """And not in a crash, because its thread has as large a stack as Python expects."""
    script("""if True:
        import actors, tasks
        with actors.ThreadDo.executor() as executor:
            error = executor.post((tasks.recurse,)).exception(30)
            assert type(error) is RecursionError, error
    """).check()


def test_deep_recursion_in_a_thread_actor_goes_as_deep_as_in_a_thread(script):
    script("""if True:
        import sys, threading
        import actors

        def depth():
            value, twin = [], []
            try:
                while True:
                    for _ in range(1000):
                        value, twin = [value], [twin]
                    value == twin
            except RecursionError:
                pass
            count = 0
            while value:
                value = value[0]
                count += 1
            return count

        sys.setrecursionlimit(12_000)
        deep = []
        thread = threading.Thread(target=lambda: deep.append(depth()))
        thread.start()
        thread.join()
        with actors.ThreadDo.executor() as executor:
            assert executor.submit(depth).result(30) >= deep[0]
    """).check()
