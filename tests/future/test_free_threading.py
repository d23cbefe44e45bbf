"""Sixteen threads at once on one actor, or on one future: they post, wait, cancel and add
callbacks, and everything still ends exactly once. On a build without the GIL they do it at the same
instant, and here is the proof that they do; on others these are stress tests."""

import random
import subprocess
import sys
import sysconfig
import threading
import time
import weakref
from concurrent import futures

import pytest

import actors
import programs
import tasks
from futures_actors import ActorFuture
from gates import PATIENCE

THREADS = 16
gil_is_off = hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled()


def at_once(function, times=THREADS):
    """Call `function(number)` in several threads that begin together; return what each returned."""
    barrier = threading.Barrier(times)
    returned = [None] * times
    raised = []

    def run(number):
        try:
            barrier.wait(PATIENCE)
            returned[number] = function(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in range(times)]
    for one in threads:
        one.start()
    deadline = time.monotonic() + 2.5 * PATIENCE  # the machine may be busy
    for one in threads:
        one.join(max(0, deadline - time.monotonic()))
    assert not any(one.is_alive() for one in threads), "a thread hangs"
    if raised:
        raise raised[0]
    return returned


class Board:
    """What sixteen threads did with the messages of one executor."""

    MESSAGES = 200  # of each thread

    def __init__(self, executor):
        self.executor = executor
        self.posted = {}  # message -> future
        self.cancels = []  # (message, what cancel() said)
        self.added = []  # (message, callback)
        self.called = []  # the same, as they were called
        self.answers = []  # (message, what a wait came to)

    def play(self, number):
        dice = random.Random(number)
        moves = [self.cancel, self.watch, self.ask, self.wait, self.complete, self.look]
        for index in range(self.MESSAGES):
            message = number * self.MESSAGES + index
            self.posted[message] = self.executor.post((tasks.remember, message))
            for _ in range(dice.randrange(3)):
                # A message that was just posted by any thread, so usually by another one.
                latest = dice.choice(list(self.posted.copy())[-THREADS:])
                dice.choice(moves)(latest, self.posted[latest])

    def cancel(self, message, future):
        self.cancels.append((message, future.cancel()))

    def watch(self, message, future):
        entry = message, object()
        self.added.append(entry)
        future.add_done_callback(lambda done: self.called.append((*entry, done)))

    def ask(self, message, future):
        try:
            self.answers.append((message, future.result(PATIENCE)))
        except futures.CancelledError:
            self.answers.append((message, "cancelled"))

    def wait(self, message, future):
        done = futures.wait([future, *self.some()], PATIENCE, futures.FIRST_COMPLETED).done
        assert done

    def complete(self, message, future):
        assert future in set(futures.as_completed([future, *self.some()], PATIENCE))

    def look(self, message, future):
        repr(future), future._state, future.running(), future.done(), future.cancelled()

    def some(self):
        return list(self.posted.copy().values())[-3:]


def test_every_future_ends_exactly_once_whatever_sixteen_threads_do(kind):
    with kind.start(actors.Do) as executor:
        board = Board(executor)
        at_once(board.play)
        everything = board.posted.values()
        assert len(everything) == THREADS * Board.MESSAGES
        assert futures.wait(everything, PATIENCE).not_done == set()
        handled = executor.post((tasks.recall,)).result(PATIENCE)

    cancelled = {message for message, future in board.posted.items() if future.cancelled()}
    assert len(handled) == len(set(handled))
    assert cancelled.isdisjoint(handled)
    assert cancelled | set(handled) == set(board.posted)
    assert {message for message, said in board.cancels if said} == cancelled
    for number in range(THREADS):  # each thread's messages in the order in which it posted them
        own = [one for one in handled if one // Board.MESSAGES == number]
        assert own == sorted(own)

    place = {message: place for place, message in enumerate(handled, 1)}
    for message, answer in board.answers:
        assert answer == place.get(message, "cancelled")
    called = {(message, mark): done for message, mark, done in board.called}
    assert len(board.called) == len(called) == len(board.added)
    assert set(called) == set(board.added)
    assert all(done is board.posted[message] for (message, _), done in called.items())


def test_shutdown_among_sixteen_threads_that_post(kind):
    """What was accepted ends; what was refused says so; nothing else happens."""
    executor = kind.start(actors.Do)
    accepted = []

    def play(number):
        refused = 0
        for index in range(300):
            if (number, index) == (0, 100):
                executor.shutdown(wait=False, cancel_futures=True)
            try:
                accepted.append(executor.post((tasks.echo, index)))
            except RuntimeError as error:
                assert str(error) == "cannot schedule new futures after shutdown"
                refused += 1
        return refused

    refused = sum(at_once(play))
    at_once(lambda number: executor.shutdown())
    assert len(accepted) + refused == THREADS * 300
    assert refused >= 200
    assert all(future.done() for future in accepted)
    assert all(future.cancelled() or future.result() is not None for future in accepted)


def test_sixteen_threads_start_and_end_actors_of_their_own(kind):
    rounds = 1 if kind.is_process else 20

    def play(number):
        for index in range(rounds):
            with kind.start(actors.Counter, number) as executor:
                assert executor.post(index).result(PATIENCE) == number + index
            dropped = kind.start(actors.Counter, number).post(index)
            assert dropped.result(PATIENCE) == number + index

    at_once(play)


def test_one_of_sixteen_cancels_succeeds_in_a_race_with_the_actor(kind):
    """All of them return the same, unless the message began between two of them."""
    with kind.start(actors.Do) as executor:
        posted = [executor.post((tasks.remember, number)) for number in range(500)]
        called = []
        for future in posted:
            future.add_done_callback(called.append)

        said = at_once(lambda number: [future.cancel() for future in posted])
        handled = executor.post((tasks.recall,)).result(PATIENCE)
    for number, future in enumerate(posted):
        assert {one[number] for one in said} == {future.cancelled()}
        assert (number in handled) is not future.cancelled()
    assert sorted(map(id, called)) == sorted(map(id, posted))


def test_sixteen_threads_that_ask_get_one_answer(kind, gate):
    """An answer from a process is unpickled when it is first asked for, and all threads get the
    same object."""
    with kind.start(actors.Do) as executor:
        for _ in range(20):
            future = executor.post((tasks.echo, ["an object"]))
            answers = at_once(lambda number, future=future: future.result(PATIENCE))
            assert {id(answer) for answer in answers} == {id(future.result())}
            failed = executor.post((tasks.fail, ValueError("expected")))
            errors = at_once(lambda number, future=failed: future.exception(PATIENCE))
            assert {id(error) for error in errors} == {id(failed.exception())}


def test_what_a_future_makes_on_demand_is_made_once():
    for _ in range(50):
        future = ActorFuture()
        made = at_once(lambda number, future=future: (future._condition, future._waiters))
        assert len({tuple(map(id, one)) for one in made}) == 1


def test_one_of_sixteen_results_is_taken():
    for _ in range(50):
        future = ActorFuture()
        called = []
        future.add_done_callback(called.append)

        def play(number, future=future):
            try:
                future.set_result(number)
            except futures.InvalidStateError:
                return False
            return True

        taken = at_once(play)
        assert taken.count(True) == 1
        assert future.result() == taken.index(True)
        assert called == [future]


def test_callbacks_added_while_the_future_ends_are_called_once(kind, gate):
    with kind.start(actors.Do) as executor:
        for _ in range(10):
            future = executor.post((tasks.pause, gate))
            called = []

            def play(number, future=future, called=called):
                for index in range(50):
                    if (number, index) == (0, 25):
                        gate.open()
                    entry = number, index
                    future.add_done_callback(lambda _, entry=entry: called.append(entry))

            at_once(play)
            executor.post((tasks.echo, None)).result(PATIENCE)  # the last one's callbacks have run
            assert sorted(called) == [
                (number, index) for number in range(16) for index in range(50)
            ]


def test_the_garbage_collector_among_threads_that_use_futures(kind):
    """It walks and breaks cycles of futures that end at this moment."""
    import gc

    seen = []

    def play(number):
        for _ in range(200):
            future = executor.post(actors.Itself())
            future.cycle = future
            future.add_done_callback(lambda _, future=future: None)
            if number == 0:
                gc.collect()
            elif number % 2:
                future.cancel()
            else:
                future.result(PATIENCE).cycle = future
            seen.append(weakref.ref(future))

    with kind.start(actors.Echo) as executor:
        at_once(play)
        executor.post(None).result(PATIENCE)

        def gone():
            gc.collect()
            return all(one() is None for one in seen)

        programs.wait_until(gone, PATIENCE)


# The proof.


def test_two_threads_are_inside_the_core_at_once_only_if_the_gil_is_off():
    """A callback of a finished future runs inside `add_done_callback`, which never lets go of
    Python. Two of them wait there for each other without letting go either."""
    future = ActorFuture()
    future.set_result(None)
    inside = [False, False]
    patience = PATIENCE if gil_is_off else 0.2

    def meet(number):
        inside[number] = True
        deadline = time.monotonic() + patience
        while not all(inside) and time.monotonic() < deadline:
            pass
        met = all(inside)
        # If this thread gave up, the other one must not meet it later.
        inside[number] = met
        return met

    def play(number):
        met = []
        future.add_done_callback(lambda _: met.append(meet(number)))
        return met[0]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # with a GIL, no thread is made to release it meanwhile
    try:
        met = at_once(play, 2)
    finally:
        sys.setswitchinterval(interval)
    assert met == [gil_is_off, gil_is_off]


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this build cannot do without the GIL"
)
def test_importing_the_package_leaves_the_gil_off():
    """Nothing has forced it off: a module that does not declare support would turn it on."""
    source = """
import sys
import futures_actors, futures_actors.process_actor, futures_actors.thread_actor
from futures_actors import ActorFuture
print(sys._is_gil_enabled(), futures_actors.ProcessActor.__name__)
"""
    env = programs.environment()
    env.pop("PYTHON_GIL", None)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("False ProcessActor\n", "")
    if gil_is_off:
        assert not sys._is_gil_enabled()


@pytest.mark.skipif(not gil_is_off, reason="the GIL is on")
def test_a_child_runs_without_the_gil_too(process):
    with process.start(actors.Do) as executor:
        assert executor.submit(sys._is_gil_enabled).result(PATIENCE) is False
