"""The demo: `python -m futures_actors [QUERY ...]` searches Python's standard library with actors.

Arguments and output only; the index and the actors that hold it are in `_demo`. No child imports
this module: the class of an actor must be found where the parent found it, and that is `_demo`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import platform
import shutil
import sys
import sysconfig
import textwrap
from itertools import chain
from math import fsum
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from . import __version__, _demo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from . import ActorExecutor

QUERIES = (
    "remote traceback",
    "leap year",
    "parse iso date",
    "temporary directory cleanup",
    "round half even",
)
HITS_SHOWN = 3
INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended


class Asked(NamedTuple):
    """A query, the actors' answer to it, and the seconds that took."""

    query: str
    found: _demo.Found
    seconds: float


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
        sizes = _demo.find_files(root, with_tests=options.tests)
        if not sizes:
            parser.error(f"no Python files below {root}")
        return show(root, sizes, options)
    except KeyboardInterrupt:
        print("\nInterrupted: waiting messages cancelled, actors ended.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left. Python would complain once more as it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the description of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m futures_actors",
        description="Index the Python standard library with one process actor per core; search it.",
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


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def show(root: str, sizes: dict[str, int], options: argparse.Namespace) -> int:
    """Run the demo on files below `root` of these sizes in bytes; return the exit code."""
    actors = min(options.actors or count_cores(), len(sizes))
    shares = _demo.deal(sizes, actors)
    show_opening(actors)
    title(f"1. Read {len(sizes):,} files, {sum(sizes.values()) / 1e6:.1f} MB, below {root}")
    started = perf_counter()
    with _demo.Library(root, actors) as library:
        show_reading(library, shares)
        seconds_to_read = perf_counter() - started
        title("2. Ask")
        asked = list(show_asking(library, options))
        title("3. Compare with one process, no actors")
        equal = show_comparison(root, shares, asked, seconds_to_read)
    title("4. End")
    if not equal:
        return 1
    explain("""
        Leaving the with block has ended the actors, and their state with them.
        Now ask your own: python -m futures_actors "two words" or, to type queries, -i.
    """)
    return 0


def show_opening(actors: int) -> None:
    """Say what an actor is, and how little makes one."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{bold(f'futures_actors {__version__}')}, {python}, {plural(count_cores(), 'core')}\n")
    explain("""
        An actor is an object that lives in a thread or process of its own and keeps its state
        there. It gets messages one at a time, in order; each answer is an ordinary
        concurrent.futures.Future. Here every actor keeps its own part of a full-text index:
    """)
    print(f"""
       class Shard(Index, ProcessActor):  # Index: a plain class with a method handle(message)
           pass

       shards = [Shard.executor(root) for _ in range({actors})]
       future = shards[0].post(Batch(("abc.py", "ast.py")))""")


def show_reading(library: _demo.Library, shares: list[list[_demo.Batch]]) -> None:
    """Let the actors read their shares; draw progress as their answers come in."""
    # Callbacks run in a thread of the package. All that ours does is to hand the future to this
    # thread, so that one thread alone prints, and Ctrl-C finds it waiting where Python can wake it.
    finished: SimpleQueue[Future[Any]] = SimpleQueue()

    def post_all(shard: ActorExecutor, batches: list[_demo.Batch]) -> int:
        for message in (*batches, _demo.Describe()):
            shard.post(message).add_done_callback(finished.put)
        return len(batches) + 1

    posted = sum(map(post_all, library.shards, shares))
    mistake = library.shards[-1].post(_demo.Forget())
    cancelled = mistake.cancel()
    explain(f"""
        {plural(posted, "message")} posted, a few files each: every actor has its own mailbox, and
        add_done_callback() moves the bar. Then one message too many: "forget all you have read".
    """)
    if cancelled:
        explain("future.cancel() is True: no actor will ever see it. Part 3 would find out.")
    else:
        explain(
            "future.cancel() is False: so few files, the actor was faster. It reads them again."
        )
        posted += post_all(library.shards[-1], shares[-1])

    progress = Progress(sum(len(batch.paths) for batches in shares for batch in batches))
    for _ in range(posted):
        answer = finished.get().result()
        if isinstance(answer, _demo.Summary):
            progress.say(describe(answer))
        else:
            progress.advance(answer)
    progress.end()


def describe(summary: _demo.Summary) -> str:
    """Return one line on what an actor holds."""
    line = (
        f"   Process {summary.pid} keeps {plural(summary.files, 'file')}, "
        f"{plural(summary.passages, 'passage')}, {summary.entries:,} index entries"
    )
    return f"{line}; {summary.unreadable} unreadable" if summary.unreadable else line


def show_asking(library: _demo.Library, options: argparse.Namespace) -> Iterator[Asked]:
    """Answer the queries of the command line, those typed, or else our own; yield each."""
    explain("""
        Each query goes to all actors at once, in two rounds: how common is each word,
        then the best passages by BM25. The index stays where it is; only answers travel.
    """)
    typed = read_queries() if options.interactive else iter(())
    for query in chain(options.queries or (() if options.interactive else QUERIES), typed):
        started = perf_counter()
        found = _demo.search(library.ask, query, HITS_SHOWN)
        seconds = perf_counter() - started
        show_hits(query, found, seconds)
        yield Asked(query, found, seconds)


def read_queries() -> Iterator[str]:
    """Yield the lines of standard input, up to its end or an empty line."""
    if not sys.stdin.isatty():
        print("   Reading queries from standard input, one a line.")
        yield from filter(str.strip, sys.stdin)
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its editing keys
    with contextlib.suppress(EOFError):
        # Without colour, whose bytes an editing prompt would take for columns.
        while query := input("\n   Query (empty to go on): ").strip():
            yield query


def show_hits(query: str, found: _demo.Found, seconds: float) -> None:
    """Print the passages found."""
    print(f"\n   {bold(query.strip())}  {dim(duration(seconds))}")
    places = [f"{hit.path}:{hit.line}" for hit in found.hits]
    column = max(map(len, places), default=0)
    for hit, place in zip(found.hits, places, strict=True):
        head = f"   {hit.score:6.2f}  {place:{column}}  "
        print(head + emphasize(fit(hit.text, len(head)), found.words))
    if not found.hits:
        print("   nothing" if found.words else "   nothing: there is no word in it")


def show_comparison(
    root: str, shares: list[list[_demo.Batch]], asked: list[Asked], seconds_to_read: float
) -> bool:
    """Do the same work without actors; return whether the answers are the same."""
    index = _demo.Index(root)
    progress = Progress(sum(len(batch.paths) for batches in shares for batch in batches))
    started = perf_counter()
    for batch in chain.from_iterable(shares):
        index.handle(batch)
        progress.advance(len(batch.paths))
    progress.end()
    rows = [("read the files", seconds_to_read, perf_counter() - started)]

    alone = []
    for query, *_ in asked:
        started = perf_counter()
        found = _demo.search(lambda message: [index.handle(message)], query, HITS_SHOWN)
        alone.append(Asked(query, found, perf_counter() - started))
    if asked:
        name = f"answer {plural(len(asked), 'query', 'queries')}"
        rows.append(
            (name, fsum(each.seconds for each in asked), fsum(one.seconds for one in alone))
        )
    show_times(len(shares), rows)

    different = [a.query for a, b in zip(asked, alone, strict=True) if a.found != b.found]
    if different:
        print(f"FAULT: actors and single process disagree about {different}", file=sys.stderr)
        return False
    if asked:
        print(f"\n   {bold('The answers are the same')}, to the last bit of every score.")
        show_weight(index, asked[0].found)
    return True


def show_times(actors: int, rows: Iterable[tuple[str, float, float]]) -> None:
    """Print a table of seconds with actors, and without."""
    print(f"\n   {'':18}{plural(actors, 'actor'):>13}{'one process':>15}")
    for name, with_actors, without in rows:
        ratio = without / with_actors
        verdict = f"{ratio:.1f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times as slow"
        print(f"   {name:18}{duration(with_actors):>13}{duration(without):>15}   {verdict}")
    explain("""
        The first line includes the start of the processes; at best it is as many times as fast
        as actors have a free core. A query is so little work that the way to the actors shows.
    """)


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def show_weight(index: _demo.Index, found: _demo.Found) -> None:
    """Compare the cost of moving the index to the query with that of moving an answer."""
    started = perf_counter()
    bytes_index = len(pickle.dumps(index, pickle.HIGHEST_PROTOCOL))
    to_pickle = duration(perf_counter() - started)
    bytes_found = len(pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
    explain(f"""
        Why it matters where the state is: to a pool, which keeps none, the index would have to
        travel with each query: {bytes_index:,} bytes, {to_pickle} to pickle alone. From the actors
        only an answer travels: {bytes_found:,} bytes.
    """)


class Progress:
    """How far the reading is: a bar on a terminal, else a line for each quarter."""

    def __init__(self, files: int) -> None:
        """Start at none of so many files."""
        self.files = files
        self.done = 0
        self.drawn = sys.stdout.isatty() and sys.stderr.isatty()
        self.draw()

    def advance(self, files: int) -> None:
        """Show that so many more files have been read."""
        quarter = 4 * self.done // self.files
        self.done += files
        if self.drawn:
            self.draw()
        elif 4 * self.done // self.files > quarter:
            print(f"   {self.done / self.files:4.0%}  {self.done:,} of {self.files:,} files")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.erase()
        print(line)
        self.draw()

    def end(self) -> None:
        """Remove the bar."""
        self.erase()

    def draw(self) -> None:
        """Draw the bar over itself."""
        if not self.drawn:
            return
        text = f" {self.done / self.files:4.0%}  {self.done:,} of {self.files:,} files"
        width = max(0, min(50, shutil.get_terminal_size().columns - len(text) - 4))
        full, empty = ("█", "░") if can_print("█░", sys.stderr) else ("#", ".")
        filled = width * self.done // self.files
        bar = full * filled + empty * (width - filled)
        print(f"\r   {bar}{text}", end="", file=sys.stderr, flush=True)

    def erase(self) -> None:
        """Leave an empty line where the bar was, and the cursor at its beginning."""
        if self.drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def can_print(text: str, stream: TextIO) -> bool:
    """Return whether the encoding of `stream` has these characters."""
    try:
        text.encode(stream.encoding)
    except UnicodeEncodeError:
        return False
    return True


def title(text: str) -> None:
    """Print the heading of a part."""
    print(f"\n{bold(text)}")


def explain(text: str) -> None:
    """Print text to be read once, at the margin of what it explains."""
    print(textwrap.indent(textwrap.dedent(text).strip("\n"), "   "))


def plural(number: int, one: str, many: str = "") -> str:
    """Return a number with the noun it counts."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def fit(text: str, taken: int) -> str:
    """Shorten `text` to the columns that a terminal has left; for a file, leave it whole."""
    if not sys.stdout.isatty():
        return text
    return text[: max(0, shutil.get_terminal_size().columns - taken)]


def emphasize(text: str, words: tuple[str, ...]) -> str:
    """Return `text` with these words, however written, in bold."""
    return _demo.WORD.sub(
        lambda found: bold(found[0]) if found[0].lower() in words else found[0], text
    )


def bold(text: str) -> str:
    """Return `text` in bold, if stdout shows that."""
    return f"\x1b[1m{text}\x1b[0m" if has_styles() else text


def dim(text: str) -> str:
    """Return `text` in a fainter hand, if stdout shows that."""
    return f"\x1b[2m{text}\x1b[0m" if has_styles() else text


def has_styles() -> bool:
    """Return whether stdout is a terminal with bold letters, and its user likes them."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


if __name__ == "__main__":
    sys.exit(main())
