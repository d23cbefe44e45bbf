"""Makes the tables of README.md and of pages of `docs/` from the measurements; see `plots.py`."""

import re
import statistics
from typing import NamedTuple

from report import number

NO_BREAK = "\N{NO-BREAK SPACE}"


class Column(NamedTuple):
    """A column of ratios: its title, and the contenders that may be in it, one in each row."""

    title: str
    names: tuple


class Table(NamedTuple):
    """A table between two marks of a page.

    Without `columns` each contender gets a line of its own, beside the subject of its row.
    """

    mark: str
    wants: re.Pattern
    columns: tuple = ()
    subject: str | None = "futures_actors"


#: The rows in which one actor asks another.
REFERENCES = re.compile(r"(thread|process)-to-|array-between")
POOLS = "ThreadPoolExecutor(1)", "ProcessPoolExecutor(1)"
TABLE = Table(
    "speed",
    re.compile(
        r"(thread|process)-(round-trip($|-one-core)|post|in-flight)|array-64-mib|start-default"
    ),
    (Column("a pool", POOLS), Column("a `Pipe` loop", ("multiprocessing.Pipe loop",))),
)
TABLES_OF_SYSTEMS = (
    Table("streams", re.compile(r"(thread|process)-stream"), subject=None),
    Table("references", REFERENCES, subject=None),
    Table("pools", re.compile(r"(thread|process)-pool"), subject=None),
    Table("async", re.compile(r"(thread|process)-async"), subject=None),
    Table("turns", re.compile(r"(thread|process)-turns"), subject=None),
    Table("memory", re.compile(r"(thread|process)-memory"), subject=None),
)
TABLE_OF_PEERS = Table(
    "peers",
    TABLE.wants,
    (
        Column("pykka", ("pykka ThreadingActor",)),
        Column("loky", ("loky ProcessPoolExecutor(1)",)),
        Column("Ray", ("Ray actor",)),
        Column("Dask", ("Dask actor",)),
    ),
)
TABLE_OF_RAY = Table(
    "ray",
    re.compile(r"process-(round-trip$|post|in-flight)|array-64-mib"),
    (Column("`RayActor`", ("futures_actors RayActor",)),),
    subject="Ray actor",
)


def medians(row):
    return {name: statistics.median(samples) for name, samples in row["samples"].items()}


def table(measured, wanted):
    """Return a table as Markdown. Columns of figures are aligned, which the site's style uses."""
    rows = [row for row in measured["rows"] if wanted.wants.match(row["row"])]
    # The times of a start come last: a program pays them once.
    rows.sort(key=lambda row: row["row"].startswith("start"))
    lines = beside(rows, wanted) if wanted.columns else one_by_one(rows)
    return "\n".join(lines)


def beside(rows, wanted):
    """Yield a line for each row, with a ratio in each column."""
    yield f"| | {wanted.subject} | " + " | ".join(column.title for column in wanted.columns) + " |"
    yield "|---|" + "--:|" * (1 + len(wanted.columns))
    for row in rows:
        values = medians(row)
        if wanted.subject in values:
            ours = values[wanted.subject]
            cells = (times(row, ours, column, values) for column in wanted.columns)
            yield f"| {title(row)} | {figure(row, ours)} | " + " | ".join(cells) + " |"


def one_by_one(rows):
    """Yield a line with the title of each row, then one for each contender, the subject first."""
    yield "| | median | ratio |"
    yield "|---|--:|--:|"
    for row in rows:
        yield f"| **{title(row)}** | | |"
        values = medians(row)
        ours = values[row["subject"]]
        for name, value in values.items():
            is_ours = re.fullmatch(r"\d+ actors?|futures_actors.*", name)
            compared = "" if name == row["subject"] else ratio(row, ours, value)
            yield f"| {name if is_ours else f'`{name}`'} | {figure(row, value)} | {compared} |"


def title(row):
    return row["title"].replace("process, start", "process: start").replace(", ", ": ", 1)


def figure(row, value):
    space = "" if row["unit"].startswith("/") else NO_BREAK
    return f"{number(value)}{space}{row['unit']}"


def ratio(row, ours, value):
    """Return how many times as fast (or as small) the subject was."""
    return f"{number(value / ours if row['better'] == 'lower' else ours / value)}{NO_BREAK}x"


def times(row, ours, column, values):
    """Return the ratio to a column's contender, one for each start method if there are several."""
    for name in column.names:
        if name in row["not_yet"]:
            return "wrong answers" if "WrongAnswer" in row["not_yet"][name] else "not measured"
    return ", ".join(
        f"{other.removeprefix(name)} {ratio(row, ours, value)}".strip()
        for other, value in values.items()
        for name in column.names
        if other.startswith(name)
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
        f"start, commit {machine['revision']}, {machine['date'][:10]}"
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
    told = f"{table(measured, wanted)}\n"
    if wanted.columns:  # the first table of a run on its page
        told += f"\nMeasured: {described(measured)}.\n"
    return f"{before}{begin}{told}{end}{after}"
