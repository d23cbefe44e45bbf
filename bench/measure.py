"""How it is measured: interleaved rounds A, B, C, A, B, C ..., so that a drift of the machine meets
every contender alike, and the figures drawn from them. Must not know what a row's work is.
"""

import contextlib
import faulthandler
import signal
import statistics
import time
from dataclasses import dataclass, field

from contenders import NotYetError
from workloads import WrongAnswerError

ROW_LIMIT_S = 240  # a contender that hangs ends the run, with every thread's stack


class ContenderFailedError(Exception):
    """A contender raised where it should have answered."""


class TimeIsUpError(BaseException):
    """A contender with limited time has used it. Not for its own `except Exception`."""


@dataclass
class Result:
    """A row's samples by contender, in its unit, one per round; or why there are none."""

    row: object
    amount: object
    samples: dict[str, list[float]] = field(default_factory=dict)
    not_yet: dict[str, str] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)  # their time was up: fewer rounds than the rest
    left_s: dict[str, float] = field(default_factory=dict)  # of those whose time is limited

    @property
    def subject(self):
        return self.row.contenders[0].name

    def ratios(self, name):
        """The subject's figure by the contender's, round by round, or the other way round."""
        # A contender whose time ran out has fewer rounds.
        pairs = zip(self.samples[self.subject], self.samples[name], strict=False)
        if self.row.is_growth:
            return [theirs / mine for mine, theirs in pairs]
        return [mine / theirs for mine, theirs in pairs]

    def figure(self, target):
        """What the target is about, or None if it could not be measured."""
        names = {self.subject, target.reference or self.subject}
        if not names <= self.samples.keys():
            return None
        values = self.ratios(target.reference) if target.reference else self.samples[self.subject]
        return statistics.median(values)


def measure(row, amount):
    """Run a row. Raises WrongAnswerError or ContenderFailedError, naming row and contender."""
    result = Result(row, amount)
    limits = [contender.limit_s for contender in row.contenders if contender.limit_s]
    faulthandler.dump_traceback_later(ROW_LIMIT_S + 3 * sum(limits), exit=True)
    try:
        with contextlib.ExitStack() as opened:
            for contender in row.contenders:
                result.samples[contender.name] = []
                if row.kept_open:
                    with time_limited(result, contender):
                        attempt(result, contender, opened.enter_context, contender)
                result.left_s.pop(contender.name, None)  # starting is not counted
            for at_round in range(amount.warm_ups + amount.repeats):
                run_round(result, is_kept=at_round >= amount.warm_ups)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return result


def run_round(result, *, is_kept):
    row = result.row
    for contender in row.contenders:
        if contender.name in result.not_yet or contender.name in result.stopped:
            continue
        sample = None
        with time_limited(result, contender):
            sample = attempt(result, contender, row.sample, contender, result.amount.size)
        if is_kept and sample is not None:
            result.samples[contender.name].append(row.unit.of_sample(sample))


@contextlib.contextmanager
def time_limited(result, contender):
    """Interrupt a contender whose time is limited when it is up; it takes no further part."""
    name = contender.name
    if contender.limit_s is None:
        yield
        return
    left_s = result.left_s.setdefault(name, contender.limit_s)
    start = time.monotonic()
    previous = signal.signal(signal.SIGALRM, raise_time_is_up)
    signal.setitimer(signal.ITIMER_REAL, max(left_s, 0.001))
    try:
        yield
    except TimeIsUpError:
        if result.samples[name]:
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
    """`call(*args)`; None, with the reason kept, if the contender cannot do it."""
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
