"""Draws what was measured: `plots.py bench/measured.json bench/measured-peers.json` writes the
pictures of docs/plots/, each for a light and for a dark page, and the tables of README.md and
docs/speed.md. Must not measure anything.

A picture has a panel for each row of the bench, with a bar for each contender; the array rows make
a curve over size, if there are enough of them. `make bench-plots` calls it.
"""

import argparse
import json
import re
import statistics
import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

from report import number

ROOT = Path(__file__).parent.parent
SUBJECT = "futures_actors"
WIDTH, LABELS, BAR, GAP = 760, 220, 16, 6
WORDS = 84  # of a reason, so many letters have room


class Palette(NamedTuple):
    text: str
    faint: str
    other: str
    subject: str
    lines: tuple


PALETTES = {
    "light": Palette(
        "#1f2328",
        "#59636e",
        "#c8d1da",
        "#0969da",
        ("#bc4c00", "#1a7f37", "#8250df", "#9a6700", "#cf222e", "#1b7c83"),
    ),
    "dark": Palette(
        "#e6edf3",
        "#9198a1",
        "#3d444d",
        "#4493f8",
        ("#f0883e", "#3fb950", "#ab7df8", "#d29922", "#ff7b72", "#39c5cf"),
    ),
}


class Picture(NamedTuple):
    name: str
    title: str
    wants: re.Pattern


PICTURES = (
    Picture("threads", "Messages to a thread", re.compile(r"thread-(round|post|in-flight)")),
    Picture("processes", "Messages to a process", re.compile(r"process-(round|post|in-flight)")),
    Picture("starts", "Start of a process, to its first answer", re.compile(r"start-")),
    Picture("arrays", "Arrays to a process and back", re.compile(r"array-\d")),
)

#: Of the run with peers, which all others disturb.
PICTURES_OF_PEERS = tuple(
    Picture(f"peers-{name}", f"{title}, beside peers", wants)
    for name, title, wants in PICTURES
    if name != "starts"
)


class Table(NamedTuple):
    """Between two marks of a page: `compared` are its columns, whom a row is compared with."""

    mark: str
    wants: re.Pattern
    compared: tuple


TABLE = Table(
    "speed",
    re.compile(r"(thread|process)-(round|post|in-flight)|array-64-mib|start-default"),
    ("ThreadPoolExecutor(1)", "ProcessPoolExecutor(1)", "multiprocessing.Pipe loop"),
)
TABLE_OF_PEERS = Table(
    "peers",
    TABLE.wants,
    ("pykka ThreadingActor", "loky ProcessPoolExecutor(1)", "Ray actor", "Dask actor"),
)


def medians(row):
    return {name: statistics.median(samples) for name, samples in row["samples"].items()}


def spread(samples):
    if len(samples) < 2:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


# Bars.


def bars(title, rows, palette):
    """An SVG with a panel for each row, as (lines, height)."""
    body = [text(0, 18, title, palette.text, size=15, weight=600)]
    top = 34
    for row in rows:
        top = panel(body, row, top, palette)
    return svg(body, top, title)


def panel(body, row, top, palette):
    hint = "shorter" if row["better"] == "lower" else "longer"
    heading = f"{row['title'].partition(', ')[2] or row['title']}: {row['unit']}, {hint} is better"
    body.append(text(0, top + 14, heading, palette.faint, size=12))
    top += 24
    values = medians(row)
    highest = max(spread(row["samples"][name])[1] for name in values)
    scale = (WIDTH - LABELS - 90) / highest
    for name, value in values.items():
        fill = palette.subject if name == row["subject"] else palette.other
        weight = 600 if name == row["subject"] else 400
        body.append(text(LABELS - 8, top + 12, name, palette.text, anchor="end", weight=weight))
        length = max(1.5, value * scale)
        size = f'width="{length:.1f}" height="{BAR}"'
        body.append(f'<rect x="{LABELS}" y="{top}" {size} fill="{fill}"/>')
        low, high = (LABELS + end * scale for end in spread(row["samples"][name]))
        y = top + BAR / 2
        body.append(f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="{palette.faint}"/>')
        end = max(LABELS + length, high) + 6
        body.append(text(end, top + 12, number(value), palette.text, weight=weight))
        top += BAR + GAP
    for name, reason in row["not_yet"].items():
        body.append(text(LABELS - 8, top + 12, name, palette.text, anchor="end"))
        body.append(text(LABELS, top + 12, reason[:WORDS], palette.faint))
        top += BAR + GAP
    return top + 10


# Curves.


def curves(title, rows, palette):
    """Rates over the size of an array, both on logarithmic axes."""
    sizes = [size_bytes(row["row"]) for row in rows]
    rates = [value for row in rows for value in medians(row).values()]
    width, height, left, top = WIDTH - 250, 300, 60, 40
    x_of = axis(min(sizes), max(sizes), left, width)
    y_of = axis(min(rates), max(rates), top + height, -height)
    body = [text(0, 18, f"{title}: {rows[0]['unit']}, higher is better", palette.text, 15, 600)]
    foot = top + height + 20
    body += [
        text(x_of(size), foot, spell(size), palette.faint, 11, 400, "middle") for size in sizes
    ]
    decade = 10.0**-6
    while decade <= max(rates):
        if decade >= min(rates):
            y = y_of(decade)
            body.append(f'<path d="M{left} {y:.1f}h{width}" stroke="{palette.other}"/>')
            body.append(text(left - 8, y + 4, f"{decade:g}", palette.faint, 11, anchor="end"))
        decade *= 10
    names = dict.fromkeys(name for row in rows for name in row["samples"])
    colours = iter(palette.lines * len(names))
    ends = []
    for name in names:
        is_subject = name == SUBJECT
        colour = palette.subject if is_subject else next(colours)
        points = [
            (x_of(size), y_of(medians(row)[name]))
            for size, row in zip(sizes, rows, strict=True)
            if name in row["samples"]
        ]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        thick = 2.5 if is_subject else 1.5
        body.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{thick}"/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        ends.append((points[-1][1], name, colour))
    last = top
    for y, name, colour in sorted(ends):
        last = max(y, last + 15)
        body.append(text(left + width + 10, last + 4, name, colour, weight=600))
    return svg(body, top + height + 34, title)


def axis(low, high, start, length):
    from math import log

    extent = log(high / low) or 1
    return lambda value: start + length * log(value / low) / extent


UNITS = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def size_bytes(key):
    count, unit = re.fullmatch(r"array-(\d+)-(\w+)", key).groups()
    return int(count) * UNITS[unit]


def spell(size):
    for unit, factor in reversed(UNITS.items()):
        if size >= factor:
            return f"{size // factor} {unit[0].upper()}{unit[1:-1]}{'B' if unit != 'b' else ''}"
    return str(size)


# SVG.


def text(x, y, content, fill, size=12, weight=400, anchor="start"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" font-size="{size}" '
        f'font-weight="{weight}" text-anchor="{anchor}">{escape(content)}</text>'
    )


def svg(body, height, title):
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        'font-family="system-ui, sans-serif" role="img">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *body, "</svg>", ""])


def draw(measured, pictures):
    """Yield (file name, SVG) of every picture that has rows."""
    for picture in pictures:
        rows = [row for row in measured["rows"] if picture.wants.match(row["row"])]
        rows = [row for row in rows if row["samples"]]
        if not rows:
            continue
        over_size = picture.name.endswith("arrays") and len(rows) >= 4
        if over_size:
            rows.sort(key=lambda row: size_bytes(row["row"]))
        for scheme, palette in PALETTES.items():
            make = curves if over_size else bars
            yield f"{picture.name}-{scheme}.svg", make(picture.title, rows, palette)


# The tables.


def table(measured, wanted):
    """A table as Markdown."""
    lines = [
        "| | futures_actors | " + " | ".join(f"`{name}`" for name in wanted.compared) + " |",
        "|---|---|" + "---|" * len(wanted.compared),
    ]
    # What begins once comes last.
    for row in sorted(measured["rows"], key=lambda row: row["row"].startswith("start")):
        if not wanted.wants.match(row["row"]):
            continue
        values = medians(row)
        ours = values.get(row["subject"])
        if ours is None:
            continue
        cells = [times(row, ours, name, values) for name in wanted.compared]
        title = row["title"].replace("process, start", "process: start").replace(", ", ": ", 1)
        unit = row["unit"] if row["unit"].startswith("/") else f" {row['unit']}"
        lines.append(f"| {title} | {number(ours)}{unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def times(row, ours, name, values):
    """How many times as fast the subject was: several start methods of a pool have one each."""
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
        if name not in ("futures_actors", "dask")  # it is `distributed` that has actors
    )
    return (
        f"{machine['python'].partition(' (')[0]} ({machine['build']}), {versions}, "
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load'].split()[0]} at the "
        f"start, {machine['date'][:10]}"
    )


def insert(page, measured, wanted):
    """Put the table between its marks of a page, if that has them."""
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


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="bench/plots.py", description=__doc__.partition("\n\n")[0]
    )
    bench = ROOT / "bench"
    parser.add_argument("measured", type=Path, nargs="?", default=bench / "measured.json")
    parser.add_argument("peers", type=Path, nargs="?", default=bench / "measured-peers.json")
    parser.add_argument("--root", type=Path, default=ROOT, help="whose docs/ and README.md")
    arguments = parser.parse_args(argv)
    plots = arguments.root / "docs" / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    for path, pictures, wanted in (
        (arguments.measured, PICTURES, TABLE),
        (arguments.peers, PICTURES_OF_PEERS, TABLE_OF_PEERS),
    ):
        measured = json.loads(path.read_text())
        if measured["is_fast"]:
            parser.error(f"{path} is of a --fast run, whose figures mean nothing")
        for name, content in draw(measured, pictures):
            (plots / name).write_text(content)
            print(plots / name)
        for page in (arguments.root / "README.md", arguments.root / "docs" / "speed.md"):
            page.write_text(insert(page.read_text(), measured, wanted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
