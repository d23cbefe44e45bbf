"""Prints the results and converts them to JSON.

This file takes the results as they are. It must not measure anything, and may only compare a figure
with its target.
"""

import datetime as dt
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
from pathlib import Path

COLUMNS = "  {:<36} {:>10}  {:<23} {:>8}  {:<17}  {}"
PACKAGES = ("futures_actors", "cloudpickle", "numpy")


def machine(peers=()):
    """Return the interpreter's build, the versions, the machine and the date, printed first."""
    return {
        "python": f"{platform.python_implementation()} {sys.version}".replace("\n", " "),
        "build": build(),
        "versions": {name: version(name) for name in (*PACKAGES, *peers)},
        "revision": revision(),
        "system": platform.platform(),
        "cpu": cpu(),
        "cores": f"{cores()} usable of {os.cpu_count()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    }


def build():
    gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return ", ".join(
        (
            "with the GIL" if gil_enabled else "without the GIL",
            "optimized" if "--enable-optimizations" in flags else "no --enable-optimizations",
            "debug" if hasattr(sys, "gettotalrefcount") else "release",
        )
    )


def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def revision():
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def print_machine(described):
    for name, value in described.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {text}" for key, text in value.items())  # noqa: PLW2901
        print(f"{name + ':':<10} {value}")
    print()


def print_legend():
    print("ratio: futures_actors / this contender, median of the ratios of each round (quartiles)")
    print("in rows of actors in turn, the other way round: this contender / 1 actor")
    print("to reach: bound on that ratio, or on the median itself where a unit is given\n")


def print_row(result):
    row, amount = result.row, result.amount
    rounds = f"{amount.repeats} rounds of {amount.size:,}"
    print(f"{row.title} [{row.key}]: {row.unit.label}, {row.unit.better} is better, {rounds}")
    print(COLUMNS.format("contender", "median", "min .. max", "ratio", "quartiles", "to reach"))
    for contender in row.contenders:
        print(line(result, contender.name).rstrip())
    if result.over:
        print(f"  NOT WHOLE: {over(result)}")
    print(flush=True)


def over(result):
    return f"the row's {result.limit_s:g} s were up in the turn of {result.over}"


def line(result, name):
    if name in result.not_yet:
        verdicts = verdict(result, name)
        return COLUMNS.format(name, "not yet", result.not_yet[name], "", "", verdicts)
    samples = result.samples[name]
    spread = f"{number(min(samples))} .. {number(max(samples))}"
    ratio, quartiles = "", ""
    if name != result.subject and result.subject in result.samples:
        ratios = result.ratios(name)
        low, middle, high = three_quartiles(ratios)
        ratio, quartiles = number(middle), f"({number(low)} .. {number(high)})"
    median = number(statistics.median(samples))
    return COLUMNS.format(name, median, spread, ratio, quartiles, verdict(result, name))


def verdict(result, name):
    """Return the notes in a contender's line: shared CPUs, missing rounds, and its targets."""
    rounds = len(result.samples.get(name, ()))
    told = [
        f"{bound(target, result.row.unit)}: {outcome(target, result.figure(target))}"
        for target in result.row.targets
        if (target.reference or result.subject) == name
    ]
    if shared := result.shared.get(name):
        told.insert(0, f"on one CPU in {100 * sum(shared) / len(shared):.0f} % of rounds")
    if 0 < rounds < result.amount.repeats:
        whose = "its" if name in result.stopped else "the row's"
        told.insert(0, f"{rounds} rounds: {whose} time was up")
    return "; ".join(told)


def bound(target, unit):
    label = "" if target.reference else f" {unit.label}"
    note = f" ({target.note})" if target.note else ""
    return f"{target.relation} {target.bound:g}{label}{note}"


def outcome(target, figure):
    if figure is None:
        return "not measured"
    return "met" if target.is_met(figure) else "missed"


def three_quartiles(values):
    if len(values) < 2:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def number(value):
    """Format with three significant digits and without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) < 10 else 1}f}" if abs(value) >= 1 else f"{value:.3g}"


def print_summary(results):
    outcomes = [
        outcome(target, result.figure(target))
        for result in results
        for target in result.row.targets
    ]
    told = ", ".join(f"{outcomes.count(word)} {word}" for word in ("met", "missed", "not measured"))
    print(f"targets: {told}")
    for result in results:
        if result.over:
            print(f"NOT WHOLE: {result.row.key}: {over(result)}")


def as_json(described, results, *, is_fast):
    return {
        "machine": described,
        "is_fast": is_fast,
        "rows": [row_as_json(result) for result in results],
    }


def row_as_json(result):
    row = result.row
    return {
        "row": row.key,
        "title": row.title,
        "unit": row.unit.label,
        "better": row.unit.better,
        "subject": result.subject,
        **result.amount._asdict(),
        "samples": result.samples,
        "shares_cpu": result.shared,
        "not_yet": result.not_yet,
        "stopped": sorted(result.stopped),
        "over": result.over,
        "targets": [target_as_json(result, target) for target in row.targets],
    }


def target_as_json(result, target):
    figure = result.figure(target)
    return {**target._asdict(), "figure": figure, "outcome": outcome(target, figure)}
