"""Makes the tables of README.md and of pages of `docs/` from the measurements; see `plots.py`."""

import re
import statistics
from typing import NamedTuple

from report import number


class Table(NamedTuple):
    """A table between two marks of a page. `compared` are its columns: the other contenders."""

    mark: str
    wants: re.Pattern
    compared: tuple
    subject: str = "futures_actors"


TABLE = Table(
    "speed",
    re.compile(
        r"(thread|process)-(round-trip($|-one-core)|post|in-flight)|array-64-mib|start-default"
    ),
    ("ThreadPoolExecutor(1)", "ProcessPoolExecutor(1)", "multiprocessing.Pipe loop"),
)
TABLE_OF_PEERS = Table(
    "peers",
    TABLE.wants,
    ("pykka ThreadingActor", "loky ProcessPoolExecutor(1)", "Ray actor", "Dask actor"),
)
TABLE_OF_RAY = Table(
    "ray",
    re.compile(r"process-(round-trip$|post|in-flight)|array-64-mib"),
    ("futures_actors RayActor",),
    subject="Ray actor",
)


def medians(row):
    return {name: statistics.median(samples) for name, samples in row["samples"].items()}


def table(measured, wanted):
    """Return a table as Markdown."""
    lines = [
        f"| | {wanted.subject} | " + " | ".join(f"`{name}`" for name in wanted.compared) + " |",
        "|---|---|" + "---|" * len(wanted.compared),
    ]
    # The times of a start come last: a program pays them once.
    for row in sorted(measured["rows"], key=lambda row: row["row"].startswith("start")):
        if not wanted.wants.match(row["row"]):
            continue
        values = medians(row)
        ours = values.get(wanted.subject)
        if ours is None:
            continue
        cells = [times(row, ours, name, values) for name in wanted.compared]
        title = row["title"].replace("process, start", "process: start").replace(", ", ": ", 1)
        unit = row["unit"] if row["unit"].startswith("/") else f" {row['unit']}"
        lines.append(f"| {title} | {number(ours)}{unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def times(row, ours, name, values):
    """Return how many times as fast the subject was, for each start method if there are several."""
    if name in row["not_yet"]:
        return "wrong answers" if "WrongAnswer" in row["not_yet"][name] else "not measured"
    found = {other: value for other, value in values.items() if other.startswith(name)}

    def ratio(value):
        return f"{number(value / ours if row['better'] == 'lower' else ours / value)} x"

    return ", ".join(
        f"{other.removeprefix(name)} {ratio(value)}".strip() for other, value in found.items()
    )


def described(measured):
    machine = measured["machine"]
    versions = ", ".join(
        f"{name} {version}"
        for name, version in machine["versions"].items()
        if name not in ("futures_actors", "dask")  # the actors are in `distributed`
    )
    return (
        f"{machine['python'].partition(' (')[0]} ({machine['build']}), {versions}, "
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load'].split()[0]} at the "
        f"start, {machine['date'][:10]}"
    )


def insert(page, measured, wanted):
    """Put the table between its marks, if the page has them."""
    begin = f"<!-- {wanted.mark}: made by make bench-plots -->\n"
    end = f"<!-- {wanted.mark}: end -->"
    before, found, rest = page.partition(begin)
    if not found:
        return page
    _, found_end, after = rest.partition(end)
    if not found_end:
        raise SystemExit(f"no end of the table {wanted.mark!r}")
    told = f"{table(measured, wanted)}\n\nMeasured: {described(measured)}.\n"
    return f"{before}{begin}{told}{end}{after}"
