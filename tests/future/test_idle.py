"""What waiting and being idle cost: no CPU, no wake-ups and little memory. Signals end a wait at
once."""

import asyncio
import os
import signal
import threading
import time
import weakref

import pytest

import actors
import asynchronous
import observe
import programs
import tasks
from gates import PATIENCE
from observe import on_linux, on_unix, tasks_of, wait_until_asleep

# Signals.


WAITS = """
import signal, time
import actors, gates, tasks

gate = gates.Gate({path!r})
executor = actors.actor_class(actors.Do, {base!r}).executor()
future = executor.post((tasks.pause, gate))
gate.reached()
"""


#: The main thread looks for signals once a second in any case, counted from the start of a wait. So
#: a wait that ends earlier proves that the signal has woken it. On a busy machine that may take
#: several attempts.
LOOKS_AFTER = 1
ATTEMPTS = range(20)


@on_linux
@observe.on_unix
@pytest.mark.parametrize("ask", ["result", "exception"])
def test_ctrl_c_interrupts_a_wait_at_once(kind, gate, program, ask):
    source = """
while not future.done():
    start = time.monotonic()
    print("waits")
    try:
        future.ASK(60)
    except KeyboardInterrupt:
        print(time.monotonic() - start)
executor.shutdown()
"""
    source = WAITS + source.replace("ASK", ask)
    running = program(source.format(path=gate.path, base=kind.base))

    def seconds_until_interrupted():
        assert running.line() == "waits"
        wait_until_asleep(running.pid, running.pid)
        running.signal(signal.SIGINT)
        return float(running.line())

    assert any(seconds_until_interrupted() < LOOKS_AFTER for _ in ATTEMPTS)
    assert running.line() == "waits"
    gate.open()
    assert running.wait() == 0
    assert running.errors() == ""


@on_unix
def test_a_signal_s_handler_can_end_a_wait(kind, gate, script):
    source = """
class Alarm(Exception):
    pass

def ring(number, frame):
    raise Alarm

def seconds_until_interrupted():
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        future.result()
    except Alarm:
        return time.monotonic() - start

signal.signal(signal.SIGALRM, ring)
print(any(0.1 <= seconds_until_interrupted() < LOOKS_AFTER for _ in ATTEMPTS))
gate.open()
print(future.result(20))
executor.shutdown()
"""
    source = source.replace("LOOKS_AFTER", str(LOOKS_AFTER)).replace("ATTEMPTS", str(ATTEMPTS))
    ended = script((WAITS + source).format(path=gate.path, base=kind.base)).check()
    assert ended.out.split() == ["True", "passed"]


@on_unix
def test_a_signal_s_handler_that_returns_lets_the_wait_go_on(kind, gate, script):
    """Until the end of its time, which a signal does not begin anew: the wait would never end."""
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
    assert int(times) >= 1
    assert float(took) >= 1


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
    """The thread sleeps once and wakes when the time is up, without waking in between. The main
    thread may check for signals once a second; detaching from Python and attaching can cost a
    switch each. On a busy machine other threads may hold it up, so there are several attempts."""
    source = """
def costs_nothing():
    for _ in ATTEMPTS:
        cpu, switches = measure(future)
        # A thread that polled would need the whole second.
        if cpu < 0.1 and switches <= 4:
            return "nothing"
    return f"{cpu} s, {switches} switches"

if WHERE == "main":
    print(costs_nothing())
else:
    import threading
    thread = threading.Thread(target=lambda: print(costs_nothing()))
    thread.start()
    thread.join()
gate.open()
future.result(20)
executor.shutdown()
"""
    source = WAITS.format(path=gate.path, base=kind.base) + MEASURE + source
    source = source.replace("WHERE", repr(where)).replace("ATTEMPTS", str(ATTEMPTS))
    assert script(source).check().out == "nothing\n"


@on_linux
@observe.on_unix
def test_no_thread_wakes_while_another_thread_than_the_main_one_waits(kind, gate, program):
    """Neither the waiting thread nor those that serve the actor wake in a whole second."""
    source = """
import threading

def wait():
    print("waits")
    print(future.result(60))

thread = threading.Thread(target=wait)
thread.start()
thread.join()
executor.shutdown()
"""
    running = program(WAITS.format(path=gate.path, base=kind.base) + source)
    assert running.line() == "waits"
    assert still_threads(lambda: tasks_of(running.pid)) >= 3
    gate.open()
    assert running.line() == "passed"
    assert running.wait() == 0


@on_linux
def test_an_idle_actor_uses_no_cpu(kind):
    """In a whole second none of its threads runs: not its own, not those that serve it, not its
    child's."""

    def usage():
        own = tasks_of(os.getpid())
        own = {task: used for task, used in own.items() if task not in before}
        return own | (tasks_of(pid) if kind.is_process else {})

    before = tasks_of(os.getpid())
    with kind.start(actors.Do) as executor:
        pid = executor.post((tasks.get_pid,)).result(PATIENCE)
        assert still_threads(usage) >= (3 if kind.is_process else 1)


def still_threads(usage):
    """Return how many threads have not run for a second. `usage()` says how much each has.

    What they still have to do may take several seconds where the machine is busy. A thread that
    wakes at intervals of a second or less is never still.
    """
    for _ in ATTEMPTS:
        first = usage()
        time.sleep(1)
        if usage() == first:
            return len(first)
    raise AssertionError(f"they run on: {first}, {usage()}")


# Polling: each side looks for the other's answer for a moment before it sleeps.


def converse(executor, count):
    for number in range(count):
        assert executor.post((tasks.echo, number)).result(PATIENCE) == number


def test_a_caller_of_a_slow_actor_polls_for_50_us_a_message_at_most(kind):
    """By its thread's CPU time, in which waiting for the CPU does not count."""
    count = 40
    with kind.start(actors.Do) as executor:
        converse(executor, 300)
        before = time.thread_time()
        for _ in range(count):
            executor.post((tasks.nap, 0.01)).result(PATIENCE)
        # Posting and waking up take the rest. One that polled to the end would need 0.01.
        assert (time.thread_time() - before) / count < 0.001


def test_an_actor_polls_no_more_when_its_callers_are_silent(kind):
    with kind.start(actors.Do) as executor:
        converse(executor, 300)
        before = executor.submit(time.thread_time).result(PATIENCE)
        time.sleep(0.5)
        assert executor.submit(time.thread_time).result(PATIENCE) - before < 0.01


class Counting(asyncio.SelectorEventLoop):
    """Counts how often other threads wake it."""

    wakes = 0

    def call_soon_threadsafe(self, *args, **kwargs):
        self.wakes += 1
        return super().call_soon_threadsafe(*args, **kwargs)


def count_wakes(_actor):
    return asyncio.get_running_loop().wakes


@on_linux
def test_the_loop_of_an_async_thread_actor_polls_for_the_next_message():
    """So nobody has to wake it. On a busy machine that may take several attempts."""
    count = 20
    with asynchronous.ThreadAwaits.options(loop_factory=Counting).executor() as executor:
        for _ in range(1_000):
            before = executor.post((count_wakes,)).result(PATIENCE)
            converse(executor, count)
            if executor.post((count_wakes,)).result(PATIENCE) - before < count:
                return
    raise AssertionError("each message has woken the loop")


@pytest.mark.parametrize("callers", [2, 5])
def test_callers_that_take_turns_all_get_their_answers(kind, callers):
    """Each caller polls for its own answer, and the actor for the next message."""
    with kind.start(actors.Do) as executor:
        threads = [
            threading.Thread(target=converse, args=(executor, 400), daemon=True)
            for _ in range(callers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads)


def test_an_answer_that_nobody_wants_any_more_goes_before_the_next_message(thread):
    """Even if the actor's thread is about to sleep and has released the GIL."""
    for _ in range(200):
        with thread.start(actors.Do) as executor:
            gone = threading.Event()
            executor.post((make_finalized, gone))
            assert gone.wait(PATIENCE)


class Finalized:
    pass


def make_finalized(_actor, gone):
    made = Finalized()
    weakref.finalize(made, gone.set)
    return made


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
