"""What a row of the table is made of: units, targets, and how often a work is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import contenders as who
import placements

MIB = 1 << 20


class Unit(NamedTuple):
    """How a sample is shown, and whether higher or lower is better."""

    label: str
    better: str
    of_sample: Callable


class Target(NamedTuple):
    """A bound on the subject's figure, divided by the reference's figure if there is one."""

    relation: str
    bound: float
    reference: str | None = None
    note: str = ""

    def is_met(self, figure):
        return figure <= self.bound if self.relation == "<=" else figure >= self.bound


class Amount(NamedTuple):
    """The number of rounds, how many are thrown away first, and the size of each sample."""

    repeats: int
    size: int
    warm_ups: int = 1


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    unit: Unit
    sample: Callable
    contenders: tuple[who.Contender, ...]
    full: Amount
    fast: Amount
    targets: tuple[Target, ...] = ()
    kept_open: bool = True  # otherwise each sample starts the contender itself
    placement: placements.Placement = placements.ANYWHERE
    shows_cpus: bool = False  # show in how many rounds the two sides were on one CPU
    is_growth: bool = False  # ratios are the other's figure divided by the subject's


MICROSECONDS = Unit("µs", "lower", lambda ns: ns / 1e3)
MILLISECONDS = Unit("ms", "lower", lambda ns: ns / 1e6)
PER_SECOND = Unit("/s", "higher", lambda ns: 1e9 / ns)
OF_IDEAL = Unit("x", "lower", lambda times: times)
BYTES = Unit("B", "lower", lambda length_bytes: length_bytes)


def gigabytes_per_second(length_bytes):
    """Return a unit that counts each byte once per echo, although it travels both ways."""
    return Unit("GB/s", "higher", lambda ns: length_bytes / ns)


def placed_rows(key, title, sample, contenders, *, full, fast, targets):
    """Return a row of round trips for each placement: the CPUs that the two sides run on matter
    most."""
    return [
        Row(
            key=f"{key}{placement.suffix}",
            title=f"{title}{placement.title}",
            unit=MICROSECONDS,
            sample=sample,
            contenders=contenders,
            full=full,
            fast=fast,
            targets=targets.get(placement, ()),
            placement=placement,
            shows_cpus=True,
        )
        for placement in placements.ALL
    ]
