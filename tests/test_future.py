"""What a future is to those who have it: it mixes with the standard library's and with asyncio, can
be interrupted, is let go in time, and costs little while it waits."""

import asyncio
import copy
import functools
import gc
import os
import pickle
import signal
import statistics
import sys
import threading
import time
import weakref
from concurrent import futures
from pathlib import Path

import pytest

import actors
import programs
from actors import PATIENCE
from futures_actors import ActorFuture

LINUX = sys.platform == "linux"
gil_is_off = hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled()
on_linux = pytest.mark.skipif(not LINUX, reason="looks into /proc")


class Thing:
    """Can be referred to weakly."""


def is_collected(*seen):
    """Whether all of these go once the garbage collector has looked."""

    def gone():
        gc.collect()
        return all(one() is None for one in seen)

    return programs.seconds_until(gone, 5) < 5


def tasks_of(pid):
    """Return {thread: (state, CPU time in ticks, switches)} of a process."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        lines = (task / "status").read_text().splitlines()
        switches = [line.split()[1] for line in lines if "ctxt_switches" in line]
        found[int(task.name)] = fields[0], int(fields[11]) + int(fields[12]), switches
    return found


def wait_until_asleep(pid, task):
    """Return when a thread has been asleep between two looks."""
    before = None
    while (now := tasks_of(pid)[task]) != before or now[0] != "S":
        before = now
        time.sleep(0.02)


def is_let_go(seen):
    """Whether an object goes by reference counts alone.

    Without the GIL one that another thread has made waits for that thread, or for the collector.
    """

    def gone():
        if gil_is_off:
            gc.collect()
        return seen() is None

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return programs.seconds_until(gone, 5) < 5
    finally:
        if was_enabled:
            gc.enable()


def in_thread(function):
    """Start a function in a thread that the test joins."""
    thread = threading.Thread(target=function)
    thread.start()
    return thread


# With the standard library's futures.


@pytest.fixture
def standard():
    """A future of the standard library that runs."""
    future = futures.Future()
    future.set_running_or_notify_cancel()
    return future


def test_wait_for_all_of_ours_and_of_the_standard_library(kind, gate, standard):
    with kind.start(actors.Do) as executor:
        future = executor.post((actors.pause, gate))
        done, not_done = futures.wait([future, standard], 0.05)
        assert (done, not_done) == (set(), {future, standard})
        gate.open()
        threading.Timer(0.05, standard.set_result, ["standard"]).start()
        done, not_done = futures.wait([standard, future], PATIENCE)
        assert (done, not_done) == ({future, standard}, set())


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_wait_for_the_first_of_ours_and_of_the_standard_library(kind, gate, standard, first):
    with kind.start(actors.Do) as executor:
        future = executor.post((actors.pause, gate))
        gate.reached()
        end = gate.open if first == "ours" else lambda: standard.set_result(None)
        threading.Timer(0.05, end).start()
        done = futures.wait([standard, future], PATIENCE, futures.FIRST_COMPLETED).done
        assert done == {future if first == "ours" else standard}
        gate.open()


@pytest.mark.parametrize("failing", ["ours", "theirs"])
def test_wait_for_the_first_failure_of_ours_and_of_the_standard_library(
    kind, gates, standard, failing
):
    other, gate = gates(), gates()
    with kind.start(actors.Do) as executor, kind.start(actors.Do) as second:
        answered = executor.post((actors.echo, 1))
        error = ValueError("expected")
        held = executor.post((actors.pause, gate))
        future = executor.post((actors.fail, error)) if failing == "ours" else held
        unfinished = second.post((actors.pause, other))
        gate.reached()
        end = gate.open if failing == "ours" else lambda: standard.set_exception(error)
        threading.Timer(0.05, end).start()
        everything = [answered, future, standard, unfinished]
        done = futures.wait(everything, PATIENCE, futures.FIRST_EXCEPTION).done
        assert done == {answered, future if failing == "ours" else standard}
        gate.open()
        other.open()


def test_as_completed_takes_ours_and_the_standard_library_s(kind, gates, standard):
    first, second = gates(), gates()
    with kind.start(actors.Do) as executor:
        early = executor.post((actors.pause, first))
        late = executor.post((actors.pause, second))
        completed = futures.as_completed([standard, late, early], PATIENCE)
        first.open()
        assert next(completed) is early
        standard.set_result(1)
        assert next(completed) is standard
        second.open()
        assert next(completed) is late
        assert list(completed) == []


def test_wait_takes_futures_of_a_thread_a_process_and_a_pool(thread, process):
    with (
        thread.start(actors.Echo) as one,
        process.start(actors.Echo) as two,
        futures.ThreadPoolExecutor(1) as pool,
    ):
        posted = {one.post(1), two.post(2), pool.submit(int, 3)}
        assert futures.wait(posted, PATIENCE).done == posted
        assert {future.result() for future in futures.as_completed(posted)} == {1, 2, 3}


def test_wait_misses_no_end(kind):
    """The end of a message comes at every point of the registration of who waits for it."""
    with kind.start(actors.Echo) as executor:
        for number in range(1000):
            future = executor.post(number)
            for _ in range(number % 50):
                future.done()
            assert futures.wait([future], PATIENCE).done
            assert future.result(0) == number


def give_up(future, seconds):
    with pytest.raises(futures.TimeoutError):
        future.result(seconds)


@pytest.mark.parametrize("how", ["result", "wait", "callback", "await"])
def test_a_waiter_that_gives_up_leaves_the_others_their_answer(kind, gates, how):
    answers = []

    async def wait():
        answers.append(await future)

    ways = {
        "result": lambda: answers.append(future.result(PATIENCE)),
        "wait": lambda: answers.extend(f.result() for f in futures.wait([future], PATIENCE).done),
        "callback": lambda: future.add_done_callback(lambda done: answers.append(done.result())),
        "await": lambda: run(wait),
    }
    with kind.start(actors.Do) as executor:
        for _ in range(3):
            gate = gates()
            future = executor.post((actors.pause, gate))
            gate.reached()
            impatient = in_thread(functools.partial(give_up, future, 0.05))
            patient = in_thread(ways[how])
            give_up(future, 0.02)
            impatient.join(PATIENCE)
            gate.open()
            patient.join(PATIENCE)
            assert future.result(PATIENCE) == "passed"
        assert executor.post((actors.echo, 1)).result(PATIENCE) == 1
    assert answers == ["passed"] * 3


def test_threads_that_wait_for_different_messages_each_get_theirs(kind, gates):
    """In the order of the messages, and against it."""
    with kind.start(actors.Do) as executor:
        for order in (range(8), reversed(range(8))):
            gate = gates()
            executor.post((actors.pause, gate))
            posted = [executor.post((actors.echo, number)) for number in range(8)]
            answers = {}

            def ask(number, posted=posted, answers=answers):
                answers[number] = posted[number].result(PATIENCE)

            waiting = [in_thread(functools.partial(ask, number)) for number in order]
            gate.open()
            for one in waiting:
                one.join(PATIENCE)
            assert answers == {number: number for number in range(8)}


# A cancelled future.


@pytest.fixture(params=["wait", "as_completed", "result", "exception"])
def ask(request):
    """One of the ways to wait for a future."""
    ways = {
        "wait": lambda future: futures.wait([future], PATIENCE).done == {future},
        "as_completed": lambda future: list(futures.as_completed([future], PATIENCE)) == [future],
        "result": lambda future: future.result(PATIENCE),
        "exception": lambda future: future.exception(PATIENCE),
    }
    return ways[request.param]


@on_linux
@pytest.mark.parametrize("how", ["cancel", "shutdown"])
def test_a_cancelled_future_wakes_whoever_waits_while_the_actor_is_held(kind, gate, ask, how):
    woken = []

    def wait():
        try:
            woken.append(ask(future))
        except futures.CancelledError:
            woken.append(True)

    with kind.start(actors.Do) as executor:
        running = executor.post((actors.pause, gate))
        gate.reached()
        future = executor.post((actors.echo, 1))
        waiter = in_thread(wait)
        wait_until_asleep(os.getpid(), waiter.native_id)
        if how == "cancel":
            assert future.cancel()
        else:
            executor.shutdown(wait=False, cancel_futures=True)
        waiter.join(PATIENCE / 2)
        assert woken == [True]
        assert not running.done()
        gate.open()


@pytest.mark.parametrize("watched", [False, True])
def test_a_cancelled_message_is_released_while_the_actor_is_held(thread, gate, watched):
    with thread.start(actors.Do) as executor:
        running = executor.post((actors.pause, gate))
        gate.reached()
        message, argument = Thing(), Thing()
        seen = weakref.ref(message), weakref.ref(argument)
        posted = [executor.post((actors.echo, message)), executor.submit(id, argument)]
        if watched:
            assert not futures.wait(posted, 0.01).done
        del message, argument
        assert all(future.cancel() for future in posted)
        assert [one() for one in seen] == [None, None]
        assert not running.done()
        gate.open()


# With asyncio.


def run(coroutine_function):
    asyncio.run(asyncio.wait_for(coroutine_function(), PATIENCE))


def test_a_future_can_be_awaited(kind):
    async def main():
        assert await executor.post(7) == 7
        assert await executor.submit(pow, 2, 5) == 32

    with kind.start(actors.Echo) as executor:
        run(main)


def test_a_finished_future_can_be_awaited(kind):
    async def main():
        future = executor.post(7)
        assert future.result(PATIENCE) == 7
        assert await future == 7
        assert await future == 7

    with kind.start(actors.Echo) as executor:
        run(main)


def test_awaiting_raises_what_handle_raised(kind):
    async def main():
        with pytest.raises(ValueError, match=r"^expected$"):
            await executor.post((actors.fail, ValueError("expected")))

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_future_can_be_awaited_many_times_at_once(kind, gate):
    async def wait(future):
        return await future

    async def main():
        future = executor.post((actors.pause, gate))
        tasks = [asyncio.create_task(wait(future)) for _ in range(20)]
        await asyncio.sleep(0)
        gate.open()
        assert await asyncio.gather(*tasks) == ["passed"] * 20

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_future_can_be_awaited_from_several_loops(kind, gate):
    answers = []
    ready = threading.Barrier(4)

    async def main():
        ready.wait(PATIENCE)
        answers.append(await future)

    with kind.start(actors.Do) as executor:
        future = executor.post((actors.pause, gate))
        threads = [in_thread(lambda: run(main)) for _ in range(3)]
        ready.wait(PATIENCE)
        gate.open()
        for one in threads:
            one.join(PATIENCE)
    assert answers == ["passed"] * 3


def test_awaiting_does_not_block_the_loop(kind, gate):
    async def main():
        task = asyncio.ensure_future(wait())
        for _ in range(100):  # each is a turn of the loop
            await asyncio.sleep(0)
            assert not task.done()
        gate.open()
        assert await task == "passed"

    async def wait():
        return await executor.post((actors.pause, gate))

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_thousand_messages_are_awaited_together(kind):
    async def main():
        assert await asyncio.gather(*map(executor.post, range(1000))) == list(range(1000))

    with kind.start(actors.Echo) as executor:
        run(main)


def test_awaiting_misses_no_end(kind):
    async def main():
        for number in range(500):
            assert await executor.post(number) == number

    with kind.start(actors.Echo) as executor:
        run(main)


@pytest.mark.parametrize("how", ["await", "wrap_future"])
def test_cancelling_the_awaiting_task_cancels_a_message_not_begun(kind, gate, how):
    async def wait(future):
        return await (future if how == "await" else asyncio.wrap_future(future))

    async def main():
        running = executor.post((actors.pause, gate))
        gate.reached()
        future = executor.post((actors.remember, "never"))
        task = asyncio.create_task(wait(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()
        assert not running.done()
        gate.open()
        assert await executor.post((actors.recall,)) == []

    with kind.start(actors.Do) as executor:
        run(main)


def test_cancelling_the_awaiting_task_leaves_a_message_that_has_begun(kind, gate):
    async def wait(future):
        return await future

    async def main():
        future = executor.post((actors.pause_and_remember, gate, "done"))
        gate.reached()
        task = asyncio.create_task(wait(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.running()
        gate.open()
        assert await future == 1
        assert await executor.post((actors.recall,)) == ["done"]

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_message_cancelled_elsewhere_ends_the_awaiting_task(kind, gate):
    async def main():
        executor.post((actors.pause, gate))
        gate.reached()
        future = executor.post((actors.echo, 1))
        asyncio.get_running_loop().call_soon(future.cancel)
        with pytest.raises(asyncio.CancelledError):
            await future
        gate.open()

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_timeout_of_asyncio_cancels_a_message_not_begun(kind, gate):
    async def wait(future):
        return await future

    async def main():
        executor.post((actors.pause, gate))
        gate.reached()
        future = executor.post((actors.remember, "never"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait(future), 0.05)
        assert future.cancelled()
        gate.open()
        assert await executor.post((actors.recall,)) == []

    with kind.start(actors.Do) as executor:
        run(main)


def test_a_loop_runs_functions_in_an_actor(kind):
    async def main():
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(executor, pow, 2, 8) == 256
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(executor, divmod, 1, 0)
        pid = await loop.run_in_executor(executor, os.getpid)
        assert (pid == os.getpid()) is (not kind.is_process)

    with kind.start(actors.Echo) as executor:
        run(main)


# Where a future cannot go.


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, *(lambda f, n=n: pickle.dumps(f, n) for n in range(6))],
    ids=["copy", "deepcopy", *(f"pickle{n}" for n in range(6))],
)
def test_copying_a_future_is_an_error_that_says_what_to_do(duplicate, finished):
    future = ActorFuture()
    if finished:
        future.set_result(1)
    with pytest.raises(TypeError, match=r"cannot pickle or copy <ActorFuture at .*send its result"):
        duplicate(future)


def test_a_future_as_a_message_to_a_process_fails_that_message_alone(process):
    with process.start(actors.Echo) as executor:
        first = executor.post(1)
        second = executor.post([first])
        with pytest.raises(TypeError, match="cannot pickle or copy <ActorFuture"):
            second.result(PATIENCE)
        assert executor.post(3).result(PATIENCE) == 3


def test_a_future_as_a_message_to_a_thread_is_that_future(thread):
    with thread.start(actors.Echo) as executor:
        first = executor.post(1)
        assert executor.post(first).result(PATIENCE) is first


# Signals.


WAITS = """
import signal, time
import actors

gate = actors.Gate({path!r})
executor = actors.actor_class(actors.Do, {base!r}).executor()
future = executor.post((actors.pause, gate))
gate.reached()
"""


@on_linux
@pytest.mark.parametrize("ask", ["result", "exception"])
def test_ctrl_c_interrupts_a_wait_at_once(kind, gate, program, ask):
    source = """
for _ in range(5):
    try:
        print("waits")
        future.ASK(20)
    except KeyboardInterrupt:
        print("interrupted")
gate.open()
print(future.result(20))
executor.shutdown()
"""
    source = WAITS + source.replace("ASK", ask)
    running = program(source.format(path=gate.path, base=kind.base))
    took = []
    for _ in range(5):
        assert running.line() == "waits"
        wait_until_asleep(running.pid, running.pid)
        start = time.monotonic()
        running.signal(signal.SIGINT)
        assert running.line() == "interrupted"
        took.append(time.monotonic() - start)
    assert statistics.median(took) < 0.3, took
    assert running.line() == "passed"
    assert running.wait() == 0
    assert running.errors() == ""


def test_a_signal_s_handler_can_end_a_wait(kind, gate, script):
    source = """
class Alarm(Exception):
    pass

def ring(number, frame):
    raise Alarm

signal.signal(signal.SIGALRM, ring)
took = []
for _ in range(5):
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        future.result()
    except Alarm:
        took.append(time.monotonic() - start)
gate.open()
print(future.result(20), sorted(took)[2])
executor.shutdown()
"""
    ended = script((WAITS + source).format(path=gate.path, base=kind.base)).check()
    answer, took = ended.out.split()
    assert answer == "passed"
    assert 0.1 <= float(took) < 0.5


def test_a_signal_s_handler_that_returns_lets_the_wait_go_on(kind, gate, script):
    source = """
rung = []
signal.signal(signal.SIGALRM, lambda number, frame: rung.append(time.monotonic()))
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
start = time.monotonic()
try:
    future.result(1)
except TimeoutError:
    took = time.monotonic() - start
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(rung), took)
gate.open()
future.result(20)
executor.shutdown()
"""
    source = WAITS + "from concurrent.futures import TimeoutError" + source
    ended = script(source.format(path=gate.path, base=kind.base)).check()
    times, took = ended.out.split()
    assert int(times) >= 10
    assert 1 <= float(took) < 1.5


# What waiting costs.


MEASURE = """
import resource, time
from concurrent.futures import TimeoutError

def measure(future):
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    cpu = time.thread_time()
    try:
        future.result(1)
    except TimeoutError:
        pass
    cpu = time.thread_time() - cpu
    return cpu, resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - usage.ru_nvcsw
"""


@on_linux
@pytest.mark.parametrize("where", ["main", "another"])
def test_a_second_of_waiting_costs_nothing(kind, gate, script, where):
    """The thread sleeps once, and is woken by the end of the time: no look in between. The main
    thread may look at signals once a second; going to and from Python can cost a switch each."""
    source = """
if WHERE == "main":
    print(*measure(future))
else:
    import threading
    thread = threading.Thread(target=lambda: print(*measure(future)))
    thread.start()
    thread.join()
gate.open()
future.result(20)
executor.shutdown()
"""
    source = WAITS.format(path=gate.path, base=kind.base) + MEASURE + source
    ended = script(source.replace("WHERE", repr(where))).check()
    cpu, switches = ended.out.split()
    assert float(cpu) < 0.02
    assert int(switches) <= 4


@on_linux
def test_an_idle_actor_uses_no_cpu(kind):
    """Over a second none of its threads runs at all: its own, those that serve it, its child's."""

    def usage():
        own = tasks_of(os.getpid())
        own = {task: used for task, used in own.items() if task not in before}
        return own | (tasks_of(pid) if kind.is_process else {})

    before = tasks_of(os.getpid())
    with kind.start(actors.Do) as executor:
        pid = executor.post((actors.get_pid,)).result(PATIENCE)
        time.sleep(0.2)  # the thread that answered goes back to sleep
        first = usage()
        time.sleep(1)
        assert usage() == first
        assert len(first) >= (3 if kind.is_process else 1)


@on_linux
def test_a_thousand_thread_actors_live_at_once(thread):
    before = len(programs.threads_of_this_process())
    executors = [thread.start(actors.Counter, number) for number in range(1000)]
    posted = [executor.post(1) for executor in executors]
    assert [future.result(PATIENCE) for future in posted] == list(range(1, 1001))
    assert len(programs.threads_of_this_process()) - before == 1000
    for executor in executors:
        executor.shutdown()


@on_linux
def test_a_queued_message_takes_a_quarter_of_upstream_s_memory(script):
    """With its future, which the program keeps; upstream's took 1,855 bytes."""
    source = """
import gc, os, threading
from pathlib import Path
from futures_actors import ThreadActor

COUNT = 100_000
opened = threading.Event()

class Held(ThreadActor):
    def handle(self, message):
        opened.wait()

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

executor = Held.executor()
message = object()
kept = [executor.post(message) for _ in range(1000)]
kept += [None] * COUNT
gc.collect()
before = resident()
for index in range(1000, 1000 + COUNT):
    kept[index] = executor.post(message)
print((resident() - before) / COUNT)
opened.set()
kept[-1].result(20)
executor.shutdown()
"""
    took = float(script(source).check().out)
    assert 0 < took <= 463


# What a future keeps, and for how long.


@pytest.fixture(params=[False, True], ids=["unseen", "looked-into"])
def look_into(request):
    """What the standard library does to a future that it waits for, or nothing."""

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
        future = executor.post((actors.fail, actors.Custom(7, "reason")))
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
        running = executor.post((actors.pause, gate))
        gate.reached()
        message = (actors.fail, KeyError()) if end == "exception" else (actors.echo, 1)
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
        future = executor.post((actors.pause, gate))
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
    """At once, while the actor waits for its next message, and with no call that helps."""
    with kind.start(actors.Do) as executor:
        for _ in range(10):
            message = (actors.echo, actors.Itself())
            if ends == "exception":
                message = (actors.fail_with, "Custom", 7, "reason")
            future = executor.post(message)
            del message
            look_into(future)
            outcome = future.result(PATIENCE) if ends == "answer" else future.exception(PATIENCE)
            seen = weakref.ref(outcome)
            del outcome
            assert seen() is not None
            del future
            assert is_let_go(seen)


def test_the_answer_to_nobody_is_let_go(thread):
    message = Thing()
    seen = weakref.ref(message)
    with thread.start(actors.Echo) as executor:
        executor.post(message)
        del message
        assert is_let_go(seen)


@pytest.mark.parametrize("way", ["message", "answer", "exception"])
def test_a_child_keeps_nothing_while_it_waits(process, tmp_path, way):
    """What came with the last message is gone from the child before the next one comes."""
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

    message = (actors.call, id, Message()) if way == "message" else (make,)
    with process.start(actors.Do) as executor:
        future = executor.post(message)
        assert futures.wait([future], PATIENCE).done
        assert programs.seconds_until(path.exists, 5) < 5


@pytest.mark.parametrize("way", ["callback", "wait", "as_completed"])
def test_whoever_waited_does_not_keep_the_answer(kind, gate, way):
    with kind.start(actors.Do) as executor:
        future = executor.post((actors.pause, gate))
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
