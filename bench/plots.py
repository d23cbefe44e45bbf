"""Draws the committed measurements.

`plots.py bench/measured.json bench/measured-peers.json` writes the pictures of docs/plots/, each
for a light and for a dark page, and calls `tables` to write the tables of README.md and of pages
of docs/. `make bench-plots` runs it. This file must not measure anything.

A picture has a panel for each row of the bench, with a bar for each contender. The array rows
become a curve over the size, if there are enough of them.

The same measurements always give the same bytes, so that a test can compare them: text stays text,
the names in the SVG do not depend on the run, and no date is written.
"""

import argparse
import io
import json
import re
import statistics
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory
from report import number
from tables import (
    REFERENCES,
    TABLE,
    TABLE_OF_PEERS,
    TABLE_OF_RAY,
    TABLES_OF_SYSTEMS,
    insert,
    medians,
)

ROOT = Path(__file__).parent.parent
SUBJECT = "futures_actors"
PIPE = "multiprocessing.Pipe loop"
# A telephone shows a picture at less than 4 inches, where letters must still be read.
INCHES_WIDE, INCHES_BAR = 5.2, 0.27
WORDS = 40  # how many letters of a reason fit beside a name


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

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": SUBJECT,
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.bottom": False,
    "axes.spines.left": False,
}


class Picture(NamedTuple):
    name: str
    title: str
    wants: re.Pattern


PICTURES = (
    Picture(
        "threads",
        "Messages to a thread",
        re.compile(r"thread-(round-trip($|-one-core)|post|in-flight)"),
    ),
    Picture(
        "processes",
        "Messages to a process",
        re.compile(r"process-(round-trip($|-one-core)|post|in-flight)"),
    ),
    Picture("streams", "An item of a stream", re.compile(r"(thread|process)-stream")),
    Picture("references", "One actor asks another", REFERENCES),
    Picture("pools", "Pools", re.compile(r"(thread|process)-pool")),
    Picture("async", "Async actors", re.compile(r"(thread|process)-async")),
    Picture("starts", "Start of a process, to its first answer", re.compile(r"start-")),
    Picture("arrays", "Arrays to a process and back", re.compile(r"array-\d")),
)

#: These show the run with peers: their servers disturb the other contenders.
PICTURES_OF_PEERS = tuple(
    Picture(f"peers-{name}", f"{title}, beside peers", wants)
    for name, title, wants in PICTURES
    if name in ("threads", "processes", "arrays")
)


def spread(samples):
    if len(samples) < 2:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


def bars(title, rows, palette):
    """Draw a picture with a panel for each row."""
    counts = [len(row["samples"]) + len(row["not_yet"]) for row in rows]
    height = INCHES_BAR * (sum(counts) + 2.2 * len(rows) + 1)
    figure = Figure(figsize=(INCHES_WIDE, height), layout="constrained")
    figure.suptitle(title, color=palette.text, weight="bold", x=0.01, ha="left")
    panels = figure.subplots(len(rows), squeeze=False, height_ratios=counts)[:, 0]
    kinds, rests = zip(*(row["title"].split(", ", 1) for row in rows), strict=True)
    # What the picture's title says of all panels needs no second word.
    headings = rests if len(set(kinds)) == 1 else [row["title"] for row in rows]
    for axes, row, heading in zip(panels, rows, headings, strict=True):
        panel(axes, row, heading, palette)
    return figure


def panel(axes, row, heading, palette):
    hint = "shorter" if row["better"] == "lower" else "longer"
    # The title only keeps the height free. The text begins at the picture's edge, to have room.
    axes.set_title(" ", fontsize="medium")
    axes.text(
        0.01,
        1.02,
        f"{heading}: {row['unit']}, {hint} is better",
        transform=blended_transform_factory(axes.figure.transFigure, axes.transAxes),
        color=palette.faint,
        in_layout=False,
    )
    values = medians(row)
    highest = max(spread(row["samples"][name])[1] for name in values)
    names = [*values, *row["not_yet"]]
    for at, name in enumerate(names):
        if name not in values:
            reason = textwrap.shorten(row["not_yet"][name], WORDS, placeholder=" ...")
            axes.text(0, at, reason, color=palette.faint, va="center", fontsize="small")
            continue
        is_subject = name == row["subject"]
        axes.barh(at, values[name], 0.7, color=palette.subject if is_subject else palette.other)
        low, high = spread(row["samples"][name])
        axes.hlines(at, low, high, color=palette.faint, linewidth=1)
        axes.text(
            max(values[name], high) + highest / 90,
            at,
            number(values[name]),
            color=palette.text,
            va="center",
            weight="bold" if is_subject else "normal",
        )
    axes.set_xlim(0, highest * 1.3)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), names, color=palette.text)
    axes.tick_params(length=0)


def curves(title, rows, palette):
    """Draw the rate over the size of an array, both on logarithmic axes."""
    figure = Figure(figsize=(INCHES_WIDE, INCHES_WIDE), layout="constrained")
    figure.suptitle(
        f"{title}: {rows[0]['unit']}, higher is better",
        color=palette.text,
        weight="bold",
        x=0.01,
        ha="left",
    )
    axes = figure.subplots()
    sizes = [size_bytes(row["row"]) for row in rows]
    names = dict.fromkeys(name for row in rows for name in row["samples"])
    colours = iter(palette.lines * len(names))
    curve = {}
    for name in names:
        is_subject = name == SUBJECT
        colour = palette.subject if is_subject else next(colours)
        curve[name] = {
            size: medians(row)[name]
            for size, row in zip(sizes, rows, strict=True)
            if name in row["samples"]
        }
        wide = 2.5 if is_subject else 1.5
        [line] = axes.plot(*zip(*curve[name].items(), strict=True), "o-", color=colour, lw=wide)
        line.set(label=name, gid=f"curve of {name}", markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    # The unit is written where it changes: there is no room for it at each size.
    spelt = [spell(size) for size in sizes]
    units = [None, *(text.split()[1] for text in spelt)]
    labels = [
        text if unit != before else text.split()[0]
        for text, unit, before in zip(spelt, units[1:], units, strict=False)
    ]
    axes.set_xticks(sizes, labels, color=palette.faint)
    axes.set_xlabel(pipe_beside_subject(curve), color=palette.text, fontsize="small", wrap=True)
    axes.tick_params(colors=palette.faint, which="both", length=0)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=palette.other)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor="linecolor")
    return figure


#: From here on one is as fast as the other: the rounds of a row differ by more.
AS_FAST = 1.1


def pipe_beside_subject(curve):
    """Return at which sizes a pipe by hand is as fast, or how near it comes at best."""
    ours, pipe = curve[SUBJECT], curve.get(PIPE, {})
    ratios = {size: ours[size] / rate for size, rate in pipe.items()}
    if not ratios:
        return ""
    as_fast = [spell(size) for size, ratio in ratios.items() if ratio <= AS_FAST]
    if as_fast:
        return f"a Pipe loop is as fast at {', '.join(as_fast)}"
    nearest = min(ratios, key=ratios.get)
    return (
        f"a Pipe loop is slower at each size; at {spell(nearest)} it comes nearest, "
        f"where futures_actors is {number(ratios[nearest])} times as fast"
    )


UNITS = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def size_bytes(key):
    count, unit = re.fullmatch(r"array-(\d+)-(\w+)", key).groups()
    return int(count) * UNITS[unit]


def spell(size):
    for unit, factor in reversed(UNITS.items()):
        if size >= factor:
            return f"{size // factor} {unit[0].upper()}{unit[1:-1]}{'B' if unit != 'b' else ''}"
    return str(size)


def svg(figure, title):
    """Return the picture as text, which is the same at each call."""
    file = io.StringIO()
    metadata = {"Title": title, "Date": None, "Creator": None}
    figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue()
    # Matplotlib names each clip path by a hash of its sizes, whose last bits differ in some runs.
    for order, name in enumerate(dict.fromkeys(re.findall(r"url\(#(\w+)\)", text)), 1):
        text = text.replace(name, f"clip{order}")
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


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
            with mpl.rc_context(STYLE):
                figure = (curves if over_size else bars)(picture.title, rows, palette)
                yield f"{picture.name}-{scheme}.svg", svg(figure, picture.title)


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
    pages = ("README.md", "docs/index.md", "docs/speed.md", "docs/guides/ray.md")
    for path, pictures, tables in (
        (arguments.measured, PICTURES, [TABLE, *TABLES_OF_SYSTEMS]),
        (arguments.peers, PICTURES_OF_PEERS, [TABLE_OF_PEERS, TABLE_OF_RAY]),
    ):
        measured = json.loads(path.read_text())
        if measured["is_fast"]:
            parser.error(f"{path} is of a --fast run, whose figures mean nothing")
        for name, content in draw(measured, pictures):
            (plots / name).write_text(content)
            print(plots / name)
        for page in (arguments.root / name for name in pages):
            for wanted in tables:
                page.write_text(insert(page.read_text(), measured, wanted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
