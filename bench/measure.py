"""How it is measured: interleaved rounds A, B, C, A, B, C ..., so that a drift of the machine meets
every contender alike, and the figures drawn from them. Must not know what a row's work is.
"""

import contextlib
import faulthandler
import statistics
from dataclasses import dataclass, field

from contenders import NotYetError
from workloads import WrongAnswerError

ROW_LIMIT_S = 240  # a contender that hangs ends the run, with every thread's stack


class ContenderFailedError(Exception):
    """A contender raised where it should have answered."""


@dataclass
class Result:
    """A row's samples by contender, in its unit, one per round; or why there are none."""

    row: object
    amount: object
    samples: dict[str, list[float]] = field(default_factory=dict)
    not_yet: dict[str, str] = field(default_factory=dict)

    @property
    def subject(self):
        return self.row.contenders[0].name

    def ratios(self, name):
        """The subject's figure by the contender's, round by round."""
        return [
            mine / theirs
            for mine, theirs in zip(self.samples[self.subject], self.samples[name], strict=True)
        ]

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
    faulthandler.dump_traceback_later(ROW_LIMIT_S, exit=True)
    try:
        with contextlib.ExitStack() as opened:
            for contender in row.contenders:
                result.samples[contender.name] = []
                if row.kept_open:
                    attempt(result, contender, opened.enter_context, contender)
            for at_round in range(amount.warm_ups + amount.repeats):
                run_round(result, is_kept=at_round >= amount.warm_ups)
    finally:
        faulthandler.cancel_dump_traceback_later()
    return result


def run_round(result, *, is_kept):
    row = result.row
    for contender in row.contenders:
        if contender.name in result.not_yet:
            continue
        sample = attempt(result, contender, row.sample, contender, result.amount.size)
        if is_kept and sample is not None:
            result.samples[contender.name].append(row.unit.of_sample(sample))


def attempt(result, contender, call, *args):
    """`call(*args)`; None, with the reason kept, if the contender cannot do it yet."""
    where = f"{contender.name}, row {result.row.key}"
    try:
        return call(*args)
    except NotYetError as reason:
        result.not_yet[contender.name] = str(reason)
        del result.samples[contender.name]
        return None
    except WrongAnswerError as error:
        raise WrongAnswerError(f"{where}: computed something else: {error}") from error
    except Exception as error:
        raise ContenderFailedError(f"{where}: {type(error).__name__}: {error}") from error
