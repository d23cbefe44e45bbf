"""The demo: `python -m futures_actors [QUERY ...]` searches Python's standard library with actors.

Here are its arguments and exit codes. No child imports this module: the class of an actor must be
found where the parent found it, and that is `_demo.index`.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from pathlib import Path

from . import __version__
from ._demo.index import find_files
from ._demo.show import show

INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return the exit code. Wrong arguments: a usage line and `SystemExit(2)`."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not when a caller has replaced it
            # A source line may hold what the terminal cannot show; a pipe's reader wants it now.
            stream.reconfigure(errors="replace", line_buffering=True)
    root = os.path.abspath(options.root)  # noqa: PTH100 - Path.resolve would follow links
    try:
        sizes = find_files(root, with_tests=options.tests)
        if not sizes:
            parser.error(f"no Python files below {root}")
        return show(root, sizes, options)
    except KeyboardInterrupt:
        print("\nInterrupted: waiting messages cancelled, actors ended.", file=sys.stderr)
        return INTERRUPTED
    except NotImplementedError as error:  # no process actors here
        parser.exit(1, f"{parser.prog}: {error}\n")
    except BrokenPipeError:
        # The reader of our output has left. Python would complain once more as it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the description of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m futures_actors",
        description="Index the Python standard library with a pool of process actors, and search "
        "it. Without a query: show what actors can do.",
    )
    parser.add_argument("queries", nargs="*", metavar="QUERY", help='words, such as "leap year"')
    parser.add_argument("-i", "--interactive", action="store_true", help="then ask for queries")
    parser.add_argument(
        "-a", "--actors", type=at_least_one, metavar="N", help="instead of one per core"
    )
    parser.add_argument("--tests", action="store_true", help="index folders of tests as well")
    parser.add_argument(
        "--root",
        type=folder,
        default=sysconfig.get_path("stdlib"),
        metavar="DIR",
        help="index this folder instead of %(default)s",
    )
    parser.add_argument("--version", action="version", version=f"futures_actors {__version__}")
    return parser


def at_least_one(text: str) -> int:
    """Return a number of actors from the command line."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return number


def folder(text: str) -> str:
    """Return a folder from the command line."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return text


if __name__ == "__main__":
    sys.exit(main())
