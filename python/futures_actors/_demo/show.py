"""What the demo does and shows, part by part. No child imports it."""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import sys
from itertools import chain
from math import fsum
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import __version__
from . import index
from .terminal import Progress, bold, dim, duration, emphasize, explain, fit, plural, title

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from .. import ActorExecutor

QUERIES = (
    "remote traceback",
    "leap year",
    "parse iso date",
    "temporary directory cleanup",
    "round half even",
)
HITS_SHOWN = 3


class Asked(NamedTuple):
    """A query, the actors' answer to it, and the seconds that took."""

    query: str
    found: index.Found
    seconds: float


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def show(root: str, sizes: dict[str, int], options: argparse.Namespace) -> int:
    """Run the demo on files below `root` of these sizes in bytes; return the exit code."""
    actors = min(options.actors or count_cores(), len(sizes))
    shares = index.deal(sizes, actors)
    show_opening(actors)
    title(f"1. Read {len(sizes):,} files, {sum(sizes.values()) / 1e6:.1f} MB, below {root}")
    started = perf_counter()
    with index.Library(root, actors) as library:
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


def show_reading(library: index.Library, shares: list[list[index.Batch]]) -> None:
    """Let the actors read their shares; draw progress as their answers come in."""
    # Callbacks run in a thread of the package. All that ours does is to hand the future to this
    # thread, so that one thread alone prints, and Ctrl-C finds it waiting where Python can wake it.
    finished: SimpleQueue[Future[Any]] = SimpleQueue()

    def post_all(shard: ActorExecutor, batches: list[index.Batch]) -> int:
        for message in (*batches, index.Describe()):
            shard.post(message).add_done_callback(finished.put)
        return len(batches) + 1

    posted = sum(map(post_all, library.shards, shares))
    mistake = library.shards[-1].post(index.Forget())
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
        if isinstance(answer, index.Summary):
            progress.say(describe(answer))
        else:
            progress.advance(answer)
    progress.end()


def describe(summary: index.Summary) -> str:
    """Return one line on what an actor holds."""
    line = (
        f"   Process {summary.pid} keeps {plural(summary.files, 'file')}, "
        f"{plural(summary.passages, 'passage')}, {summary.entries:,} index entries"
    )
    return f"{line}; {summary.unreadable} unreadable" if summary.unreadable else line


def show_asking(library: index.Library, options: argparse.Namespace) -> Iterator[Asked]:
    """Answer the queries of the command line, those typed, or else our own; yield each."""
    explain("""
        Each query goes to all actors at once, in two rounds: how common is each word,
        then the best passages by BM25. The index stays where it is; only answers travel.
    """)
    typed = read_queries() if options.interactive else iter(())
    for query in chain(options.queries or (() if options.interactive else QUERIES), typed):
        started = perf_counter()
        found = index.search(library.ask, query, HITS_SHOWN)
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


def show_hits(query: str, found: index.Found, seconds: float) -> None:
    """Print the passages found."""
    print(f"\n   {bold(query.strip())}  {dim(duration(seconds))}")
    places = [f"{hit.path}:{hit.line}" for hit in found.hits]
    column = max(map(len, places), default=0)
    for hit, place in zip(found.hits, places, strict=True):
        head = f"   {hit.score:6.2f}  {place:{column}}  "
        print(head + emphasize(fit(hit.text, len(head)), found.words, index.WORD))
    if not found.hits:
        print("   nothing" if found.words else "   nothing: there is no word in it")


def show_comparison(
    root: str, shares: list[list[index.Batch]], asked: list[Asked], seconds_to_read: float
) -> bool:
    """Do the same work without actors; return whether the answers are the same."""
    alone_index = index.Index(root)
    progress = Progress(sum(len(batch.paths) for batches in shares for batch in batches))
    started = perf_counter()
    for batch in chain.from_iterable(shares):
        alone_index.handle(batch)
        progress.advance(len(batch.paths))
    progress.end()
    rows = [("read the files", seconds_to_read, perf_counter() - started)]

    alone = []
    for query, *_ in asked:
        started = perf_counter()
        found = index.search(lambda message: [alone_index.handle(message)], query, HITS_SHOWN)
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
        show_weight(alone_index, asked[0].found)
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


def show_weight(held: index.Index, found: index.Found) -> None:
    """Compare the cost of moving the index to the query with that of moving an answer."""
    started = perf_counter()
    bytes_index = len(pickle.dumps(held, pickle.HIGHEST_PROTOCOL))
    to_pickle = duration(perf_counter() - started)
    bytes_found = len(pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
    explain(f"""
        Why it matters where the state is: to a pool, which keeps none, the index would have to
        travel with each query: {bytes_index:,} bytes, {to_pickle} to pickle alone. From the actors
        only an answer travels: {bytes_found:,} bytes.
    """)
