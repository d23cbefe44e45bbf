"""The workloads: each takes a contender and a size, checks every answer, and returns one sample.

Only this file times the contenders. Only the work may happen between two readings of the clock:
answers are checked after the second one. A sample is nanoseconds (or bytes) per message, and
`rows.py` gives it a unit.
"""

import gc
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from contenders import NotYetError, OwnClock
from patterns import all_then_wait, one_at_a_time

HERE = Path(__file__).parent
QUEUED_LIMIT_S = 120
NAP_S = 0.1  # how long each of the sleepers sleeps
BURST = 20  # unmeasured messages before each sample: the last contender has filled the caches


class WrongAnswerError(Exception):
    """A contender gave a wrong answer, so its figures would mean nothing."""


def timed(call, *args):
    """Return the nanoseconds of `call(*args)`, and its result. As in timeit, `gc` is off."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter_ns()
        returned = call(*args)
        return time.perf_counter_ns() - start, returned
    finally:
        gc.enable()


def messages(pattern):
    """Return a sample that sends `size` integers in this pattern: nanoseconds per message."""

    def sample(contender, size):
        if isinstance(contender, OwnClock):
            return contender.round_trips_ns(size) / size
        answer_all(contender, pattern, max(BURST, contender.width))
        return answer_all(contender, pattern, size) / size

    return sample


def stateless(pattern):
    """Like `messages`, for objects that keep no state: each answer is the message plus one."""

    def sample(contender, size):
        pattern(contender.post, contender.take, range(BURST))
        ns, answers = timed(pattern, contender.post, contender.take, range(size))
        expect(contender, answers, list(range(1, size + 1)))
        return ns / size

    return sample


def between(pattern):
    """Let one actor send `size` integers to another in this pattern: nanoseconds per message."""

    def sample(contender, size):
        contender.ask(pattern.__name__, BURST)
        ns, answers = timed(contender.ask, pattern.__name__, size)
        expect(contender, answers, list(range(1, size + 1)))
        return ns / size

    return sample


def arrays_between(length_bytes):
    """Let one actor send an array to another `size` times, one after the other, and get an integer
    for each: nanoseconds per message."""

    def sample(contender, size):
        contender.send(length_bytes, 1)  # unmeasured, as with messages
        first = contender.handled + 2
        ns, counts = timed(contender.send, length_bytes, size)
        contender.handled += 1 + size
        expect(contender, counts, list(range(first, first + size)))
        return ns / size

    return sample


class Mixed(NamedTuple):
    """A mixed load: a twentieth of the messages take 50 times as long as the others."""

    short_us: int
    long_us: int


LONGER, SHORTER = Mixed(100, 5_000), Mixed(20, 1_000)


def makespan(members, load):
    """Return a sample of a mixed load: the time until all is done, over the ideal of `members`.

    Ideal is that each works without a break, for as long as the handlers have really taken.
    """

    def sample(contender, size):
        naps = [load.long_us] * (size // 20) + [load.short_us] * (size - size // 20)
        random.Random(size).shuffle(naps)
        all_then_wait(contender.post, contender.take, [load.short_us] * BURST)
        ns, took = timed(all_then_wait, contender.post, contender.take, naps)
        if len(took) != size or any(one < 1e3 * nap for one, nap in zip(took, naps, strict=True)):
            raise WrongAnswerError(f"{contender.name} slept too little")
        return ns * members / sum(took)

    return sample


def sleepers(contender, size):
    """Return the time until so many coroutines have slept that all sleep at the same time."""
    all_then_wait(contender.post, contender.take, [0.0] * BURST)
    ns, answers = timed(all_then_wait, contender.post, contender.take, [NAP_S] * size)
    expect(contender, answers, [NAP_S] * size)
    if ns < 1e9 * NAP_S:
        raise WrongAnswerError(f"{contender.name} slept too little")
    return ns


def stream_items(contender, size):
    """Take `size` items of one stream, its start included: nanoseconds per item."""
    list(contender.items(BURST))
    ns, items = timed(lambda: list(contender.items(size)))
    expect(contender, items, list(range(size)))
    return ns / size


def answer_all(contender, pattern, size):
    before, width = contender.handled, contender.width
    ns, answers = timed(pattern, contender.post, contender.take, range(size))
    contender.handled += size
    expect(
        contender,
        answers,
        [message + (before + message) // width + 1 for message in range(size)],
    )
    return ns


def expect(contender, answers, expected):
    if answers == expected:
        return
    if len(answers) != len(expected):
        raise WrongAnswerError(
            f"{contender.name} gave {len(answers)} answers to {len(expected)} messages"
        )
    at = next(at for at, answer in enumerate(answers) if answer != expected[at])
    raise WrongAnswerError(
        f"{contender.name} answered message {at} with {answers[at]!r}, not {expected[at]!r}"
    )


def arrays(length_bytes):
    """Return a sample that echoes an array of this length `size` times: nanoseconds per echo."""

    def sample(contender, size):
        import numpy as np

        array = np.arange(length_bytes // 8, dtype=np.int64)
        array[0], array[-1] = -1, contender.handled  # no two samples send the same array
        echo_often(contender, array, 1)  # unmeasured, as with messages
        contender.answer = None  # release it, so that the first echo reuses its memory
        first = contender.handled + 2
        ns, counts = timed(echo_often, contender, array, size)
        contender.handled += 1 + size
        expect(contender, counts, list(range(first, first + size)))
        expect_copy(contender, array, contender.answer)
        return ns / size

    return sample


def arrays_one_way(length_bytes):
    """Return a sample that sends an array of this length `size` times, one after the other, and
    gets an integer for each: nanoseconds per message."""

    def sample(contender, size):
        import numpy as np

        array = np.arange(length_bytes // 8, dtype=np.int64)
        one_at_a_time(contender.post, contender.take, [array])  # unmeasured, as with messages
        first = contender.handled + 2
        ns, counts = timed(one_at_a_time, contender.post, contender.take, [array] * size)
        contender.handled += 1 + size
        expect(contender, counts, list(range(first, first + size)))
        return ns / size

    return sample


def echo_often(contender, array, size):
    """Echo the array `size` times. Each answer replaces the last one, so that the time to release
    it counts too."""
    counts = []
    for _ in range(size):
        contender.answer = contender.echo(array)
        counts.append(int(contender.answer[0]))
    return counts


def expect_copy(contender, array, answer):
    import numpy as np

    if array[0] != -1 or np.may_share_memory(array, answer):
        raise WrongAnswerError(f"{contender.name} worked on the sender's own array")
    if not np.array_equal(array[1:], answer[1:]):
        raise WrongAnswerError(f"{contender.name} answered with another array")


def start_to_first_answer(contender, size):
    """Return the nanoseconds from the start to the first answer. The shutdown does not count."""
    total_ns = 0
    for _ in range(size):
        ns, answer = timed(first_answer, contender)
        contender.close()
        expect(contender, [answer], [1])
        total_ns += ns
    return total_ns / size


def first_answer(contender):
    contender.open()
    return contender.take(contender.post(0))


def bytes_per_queued_message(contender, size):
    """Return how many bytes each of `size` waiting messages and its future adds to a process."""
    if not Path("/proc/self/statm").exists():
        raise NotYetError("needs /proc/self/statm")
    contender.probe()  # check here, so that an error in the new process is a real failure
    done = subprocess.run(
        [sys.executable, HERE / "queued.py", type(contender).__name__, str(size)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=QUEUED_LIMIT_S,
    )
    told = json.loads(done.stdout)
    expect(contender, told["answers"], told["expected"])
    expect(contender, [told["waiting"]], [size])
    return told["grown_bytes"] / size
