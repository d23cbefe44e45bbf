"""`MyActor.options(...)`: what it takes, how it refuses, and that options reach the actor."""

import threading

import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE

BAD = {
    "name of a number": ({"name": 7}, TypeError, "name must be a str, not int"),
    "empty name": ({"name": ""}, ValueError, "name must be printable text, not ''"),
    "name with a null": ({"name": "a\0b"}, ValueError, r"not 'a\\x00b'"),
}
BAD_FOR_PROCESSES = {
    "start method of a number": ({"start_method": 7}, TypeError, "start_method must be a str"),
    "memory in words": ({"shared_memory": "1 GiB"}, TypeError, "shared_memory must be an int"),
    "memory of truth": ({"shared_memory": True}, TypeError, "a number of bytes, not bool"),
    "negative memory": ({"shared_memory": -1}, ValueError, "shared_memory must be .*, not -1"),
    "restarts of a fraction": ({"max_restarts": 1.5}, TypeError, "max_restarts must be an int"),
    "negative restarts": ({"max_restarts": -1}, ValueError, "max_restarts must not be negative"),
    "true restarts": ({"max_restarts": True}, TypeError, "max_restarts must be an int"),
    "no window": ({"max_restarts": 1, "restart_window": 0}, ValueError, "restart_window must be"),
    "window of a str": ({"restart_window": "1"}, TypeError, "restart_window must be a number"),
    "window that is none": ({"restart_window": float("nan")}, ValueError, "more than 0 seconds"),
    "window alone": ({"restart_window": 1}, ValueError, "has no effect without max_restarts"),
    "unknown start method": ({"start_method": "fork"}, ValueError, "start_method must be one of"),
}


@pytest.mark.parametrize(("given", "error", "text"), BAD.values(), ids=BAD)
def test_a_bad_option_is_an_error_that_names_it(kind, given, error, text):
    with pytest.raises(error, match=text):
        kind.actor(actors.Do).options(**given)


@pytest.mark.not_on_ray("an option that is not ours is one of Ray's")
def test_an_unknown_option_is_an_error_that_names_it(kind):
    with pytest.raises(TypeError, match=r"Do\.options\(\) has no option 'nmae'; there are name"):
        kind.actor(actors.Do).options(nmae="a")


@pytest.mark.parametrize(
    ("given", "error", "text"), BAD_FOR_PROCESSES.values(), ids=BAD_FOR_PROCESSES
)
def test_a_bad_option_of_a_process_is_an_error_that_names_it(process, given, error, text):
    with pytest.raises(error, match=text):
        process.actor(actors.Do).options(**given)


@pytest.mark.parametrize(
    "given",
    [{"start_method": "spawn"}, {"shared_memory": 0}, {"max_restarts": 1}, {"restart_window": 1}],
    ids=str,
)
def test_what_is_for_processes_is_refused_for_threads(thread, given):
    (name,) = given
    with pytest.raises(TypeError, match=f"option '{name}' is for process actors, and ThreadDo is"):
        thread.actor(actors.Do).options(**given)


def test_none_stands_for_the_default(kind):
    options = kind.actor(actors.Do).options(name=None)
    with options.executor() as executor:
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1


def test_options_say_what_they_are(kind):
    cls = kind.actor(actors.Do)
    assert repr(cls.options(name="left")) == f"{cls.__name__}.options(name='left')"
    assert isinstance(cls.options(), futures_actors.Options)


def test_options_start_as_many_actors_as_are_asked_for(kind):
    options = kind.actor(actors.Counter).options(name="counter")
    with options.executor(10, step=2) as one, options.executor() as other:
        assert one.post(1).result(PATIENCE) == 12
        assert other.post(1).result(PATIENCE) == 1
        assert type(one) is type(kind.start(actors.Counter))


def test_options_of_a_class_that_is_neither_do_not_start():
    with pytest.raises(NotImplementedError, match="use ProcessActor or ThreadActor"):
        futures_actors.Actor.options(name="a").executor()


def test_a_name_is_seen_in_errors(kind):
    options = kind.actor(actors.Fails).options(name="the left one")
    executor = options.executor(KeyError("k"))
    executor.shutdown()
    with pytest.raises(futures_actors.ActorInitError, match="actor the left one raised"):
        executor.post(1)


def test_a_name_is_that_of_the_thread(thread):
    with thread.actor(actors.Do).options(name="the left one").executor() as executor:
        name = executor.post((tasks.look_at, "threading:current_thread")).result(PATIENCE)
        del name
        names = {one.name for one in threading.enumerate()}
    assert "the left one" in names


def test_a_name_is_seen_in_the_errors_of_a_child(process):
    with process.actor(actors.Do).options(name="the left one").executor() as executor:
        error = executor.post((tasks.answer_with_lock,)).exception(PATIENCE)
        assert "the answer of actor the left one" in str(error)
        error = executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
        assert "the process of actor the left one (pid" in str(error)


def test_an_executor_says_what_it_is(kind):
    cls = kind.actor(actors.Do)
    head = f"<{kind.base}ActorExecutor of {cls.__name__}"
    with kind.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        assert repr(executor) == f"{head} pid={pid} running>" if kind.is_process else "running>"
    assert repr(executor) == f"{head} stopped>"
    with cls.options(name='the "left" one').executor() as executor:
        assert repr(executor).startswith(f'{head} "the \\"left\\" one" ')
    with kind.start(actors.Fails, KeyError("k")) as executor:
        executor.shutdown()
        assert repr(executor).endswith(" broken>")


def test_an_executor_that_drains_says_so(kind, gate):
    executor = kind.start(actors.Do)
    future = executor.post((tasks.pause, gate))
    gate.reached()
    executor.shutdown(wait=False)
    assert repr(executor).endswith(" stopping>")
    gate.open()
    assert future.result(PATIENCE) == "passed"
