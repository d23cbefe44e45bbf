"""Runs the rounds, and computes the figures from them.

The rounds are interleaved, A, B, C, A, B, C ..., so that a drift of the machine affects all
contenders alike. This file must not know what work a row does.
"""

import contextlib
import faulthandler
import math
import signal
import statistics
import time
from dataclasses import dataclass, field

from contenders import NotYetError
from workloads import WrongAnswerError

ROW_LIMIT_S = 240  # after this a row ends, with the rounds that it has
GRACE_S = 60  # to close a contender after that; then the run ends with the stacks of all threads


class ContenderFailedError(Exception):
    """A contender raised an exception instead of answering."""


class TimeIsUpError(BaseException):
    """A contender's or a row's time is up. No `except Exception` in a contender catches it."""


@dataclass
class Result:
    """A row's samples by contender, one per round, in the row's unit, or why there are none."""

    row: object
    amount: object
    samples: dict[str, list[float]] = field(default_factory=dict)
    shared: dict[str, list[bool]] = field(default_factory=dict)  # by round: was it one CPU?
    not_yet: dict[str, str] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)  # ran out of time: fewer rounds than the rest
    left_s: dict[str, float] = field(default_factory=dict)  # for contenders whose time is limited
    limit_s: float = math.inf  # for the row
    start_s: float = field(default_factory=time.monotonic)
    over: str = ""  # the contender that was running when the row's time was up

    @property
    def subject(self):
        return self.row.contenders[0].name

    def ratios(self, name):
        """Divide the subject's figure by the contender's for each round, or the other way round."""
        # A contender whose time ran out has fewer rounds.
        pairs = zip(self.samples[self.subject], self.samples[name], strict=False)
        if self.row.is_growth:
            return [theirs / mine for mine, theirs in pairs]
        return [mine / theirs for mine, theirs in pairs]

    def figure(self, target):
        """Return the figure that the target bounds, or None if it could not be measured."""
        names = {self.subject, target.reference or self.subject}
        if not names <= self.samples.keys():
            return None
        values = self.ratios(target.reference) if target.reference else self.samples[self.subject]
        return statistics.median(values)


def measure(row, amount):
    """Run a row. Raises WrongAnswerError or ContenderFailedError, which name row and contender."""
    limits = [contender.limit_s for contender in row.contenders if contender.limit_s]
    result = Result(row, amount, limit_s=ROW_LIMIT_S + 3 * sum(limits))
    faulthandler.dump_traceback_later(result.limit_s + GRACE_S, exit=True)
    try:
        with row.placement.hold(), contextlib.ExitStack() as opened:
            for contender in row.contenders:
                open_contender(result, contender, opened)
            for at_round in range(amount.warm_ups + amount.repeats):
                run_round(result, is_kept=at_round >= amount.warm_ups)
    finally:
        faulthandler.cancel_dump_traceback_later()
    for contender in row.contenders:
        if result.over and not result.samples.get(contender.name, True):
            give_up(result, contender, "the row's time was up")
    return result


def open_contender(result, contender, opened):
    result.samples[contender.name] = []
    if result.row.kept_open and not result.over:
        with time_limited(result, contender):
            attempt(result, contender, opened.enter_context, contender)
    result.left_s.pop(contender.name, None)  # the start does not count


def run_round(result, *, is_kept):
    row = result.row
    for contender in row.contenders:
        if result.over or contender.name in result.not_yet or contender.name in result.stopped:
            continue
        sample = None
        with time_limited(result, contender):
            sample = attempt(result, contender, row.sample, contender, result.amount.size)
            if is_kept and sample is not None and row.shows_cpus:
                note_cpus(result, contender)
        if is_kept and sample is not None:
            result.samples[contender.name].append(row.unit.of_sample(sample))


def note_cpus(result, contender):
    shares_cpu = attempt(result, contender, contender.shares_cpu)
    if shares_cpu is not None:
        result.shared.setdefault(contender.name, []).append(shares_cpu)


@contextlib.contextmanager
def time_limited(result, contender):
    """Interrupt a contender when its time or the row's time is up.

    If only its own time is up, the other contenders go on without it; otherwise the row ends.
    """
    name, start = contender.name, time.monotonic()
    left_s = result.left_s.setdefault(name, contender.limit_s or math.inf)
    row_left_s = result.start_s + result.limit_s - start
    previous = signal.signal(signal.SIGALRM, raise_time_is_up)
    signal.setitimer(signal.ITIMER_REAL, max(min(left_s, row_left_s), 0.001))
    try:
        yield
    except TimeIsUpError:
        if row_left_s <= left_s:
            result.over = name
        elif result.samples[name]:
            result.stopped.add(name)
        else:
            give_up(result, contender, f"no answers within {contender.limit_s} s")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        result.left_s[name] = left_s - (time.monotonic() - start)


def raise_time_is_up(_number, _frame):
    raise TimeIsUpError


def give_up(result, contender, reason):
    result.not_yet[contender.name] = reason
    del result.samples[contender.name]


def attempt(result, contender, call, *args):
    """Return `call(*args)`, or None if the contender cannot do it, and keep the reason."""
    where = f"{contender.name}, row {result.row.key}"
    try:
        return call(*args)
    except NotYetError as reason:
        return give_up(result, contender, str(reason))
    except Exception as error:
        if contender.limit_s is not None:
            return give_up(result, contender, f"{type(error).__name__}: {error}")
        if isinstance(error, WrongAnswerError):
            raise WrongAnswerError(f"{where}: computed something else: {error}") from error
        raise ContenderFailedError(f"{where}: {type(error).__name__}: {error}") from error
