"""What is timed: each workload takes a contender and a size, checks every answer, gives one sample.

The only file that reads the clock. Nothing but the work may stand between two readings; answers are
checked after the second. A sample is nanoseconds (or bytes) per message; `rows.py` gives it a unit.
"""

import gc
import json
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from contenders import NotYetError, OwnClock

HERE = Path(__file__).parent
DEPTH = 64
QUEUED_LIMIT_S = 120
BURST = 20  # messages before each sample, unmeasured: the contender before has used the caches


class WrongAnswerError(Exception):
    """A contender gave a wrong answer, so its figures would mean nothing."""


def timed(call, *args):
    """Nanoseconds of `call(*args)` and what it returned, with the collector off as in timeit."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter_ns()
        returned = call(*args)
        return time.perf_counter_ns() - start, returned
    finally:
        gc.enable()


def one_at_a_time(post, take, messages):
    return [take(post(message)) for message in messages]


def all_then_wait(post, take, messages):
    tickets = [post(message) for message in messages]
    return [take(ticket) for ticket in tickets]


def sliding_window(post, take, messages):
    window, answers = deque(), []
    for message in messages:
        if len(window) == DEPTH:
            answers.append(take(window.popleft()))
        window.append(post(message))
    answers.extend(take(ticket) for ticket in window)
    return answers


def messages(pattern):
    """A sample that sends `size` integers in the given pattern: nanoseconds per message."""

    def sample(contender, size):
        if isinstance(contender, OwnClock):
            return contender.round_trips_ns(size) / size
        answer_all(contender, pattern, max(BURST, contender.width))
        return answer_all(contender, pattern, size) / size

    return sample


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
    """A sample that echoes an array of that length `size` times: nanoseconds per echo."""

    def sample(contender, size):
        import numpy as np

        array = np.arange(length_bytes // 8, dtype=np.int64)
        array[0], array[-1] = -1, contender.handled  # no two samples send the same array
        echo_often(contender, array, 1)  # unmeasured, as with messages
        contender.answer = None  # else the first echo would need memory beside that: cold
        first = contender.handled + 2
        ns, counts = timed(echo_often, contender, array, size)
        contender.handled += 1 + size
        expect(contender, counts, list(range(first, first + size)))
        expect_copy(contender, array, contender.answer)
        return ns / size

    return sample


def arrays_one_way(length_bytes):
    """A sample that sends an array of that length `size` times, one after the other, and gets an
    integer for each: nanoseconds per message."""

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
    """Each answer replaces the one before, so that each echo but the first pays for releasing
    one."""
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
    """Nanoseconds from the start to the first answer. The end is not counted."""
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
    """Bytes that each of `size` waiting messages and its future add to a process of its own."""
    if not Path("/proc/self/statm").exists():
        raise NotYetError("needs /proc/self/statm")
    contender.probe()  # here, so that what fails only over there is a failure
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
