"""What the demo does and shows, part by part. No child imports it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import platform
import re
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import chain, islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .. import __version__
from . import index
from .terminal import Progress, bold, dim, duration, emphasize, explain, fit, plural, title

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from typing_extensions import Buffer

    from .. import ActorPool

QUERIES = ("remote traceback", "leap year", "parse iso date")
HITS_SHOWN = 3
GREP = r"\bXXX\b"  # what authors write where they are not content
LINES_SHOWN = 5
ARRAY_BYTES = 256 << 20
# Takes longer than anybody waits: each letter more doubles the time.
ENDLESS = (r"(a+)+$", "a" * 64 + "b")


class DisagreementError(Exception):
    """The actors do not hold what they have been told. The text says what differs."""


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def show(root: str, sizes: dict[str, int], options: argparse.Namespace) -> int:
    """Run the demo on files below `root` of these sizes in bytes; return the exit code."""
    actors = min(options.actors or count_cores(), len(sizes))
    queries = options.queries or options.interactive
    if not queries:
        show_opening(actors)
        title(f"1. Read {len(sizes):,} files, {sum(sizes.values()) / 1e6:.1f} MB, below {root}")
    with index.Indexer.pool(actors).executor(root) as pool:
        if queries:
            read(pool, sizes, Progress(len(sizes), lines=False))
            answer(pool, options)
            return 0
        try:
            show_parts(pool, list(sizes))
        except DisagreementError as fault:
            print(f"FAULT: {fault}", file=sys.stderr)
            return 1
    explain("""
        The end of the with block has ended the processes, and their state with them.
        Ask your own: python -m futures_actors "two words", or -i to type queries.
    """)
    return 0


def show_opening(actors: int) -> None:
    """Say what an actor is, and how little makes one."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{bold(f'futures_actors {__version__}')}, {python}, {plural(count_cores(), 'core')}\n")
    explain("""
        An actor is an object that lives in a thread or process of its own and keeps its state
        there. It gets messages one at a time, in order; each answer is an ordinary
        concurrent.futures.Future. Here a pool of them shares a full-text index:
    """)
    print(f"""
       class Indexer(Index, ProcessActor):  # Index: a plain class with a method handle(message)
           pass

       with Indexer.pool({actors}).executor(root) as pool:
           future = pool.post(Read("abc.py"), key="abc.py")""")


def show_parts(pool: ActorPool[Any, Any], paths: Sequence[str]) -> None:
    """Show what actors can do, one after another; raise if they did not do it."""
    holders = show_reading(pool, paths)
    title("2. Ask")
    found = show_asking(pool)
    title(f"3. Stream: search the text for {GREP}, and stop after {plural(LINES_SHOWN, 'line')}")
    show_stream(pool, paths)
    title(f"4. Send {ARRAY_BYTES >> 20} MiB to an actor and back")
    show_array(pool)
    title("5. Look into an actor that is stuck, and kill its process")
    show_death(pool, holders, found)
    title("6. End")


def show_reading(pool: ActorPool[Any, Any], paths: Sequence[str]) -> dict[str, int]:
    """Have all files read; return the process that holds each, by path."""
    started = perf_counter()
    posted = post_all(pool, paths)
    mistake = pool.broadcast(index.Forget())
    cancelled = [future.cancel() for future in mistake]
    explain(f"""
        {plural(len(paths), "message")} posted, a file each. Its path is the key, by which one
        member has it for good. Then one message too many, to all: "forget what you have read".
    """)
    if all(cancelled):
        explain("future.cancel() is True: no actor will ever see it. What it holds will tell.")
    else:
        explain("future.cancel() is False: so few files, it had begun. Everything is read again.")
        pool.broadcast(index.Forget())
        posted = post_all(pool, paths)
    follow(posted, Progress(len(paths)))
    seconds = perf_counter() - started
    summaries: list[index.Summary] = gather(pool.broadcast(index.Describe()))
    for summary in summaries:
        print(describe(summary))
    if sum(summary.files for summary in summaries) != len(paths):
        raise DisagreementError("the actors do not hold the files that they were told to read")
    explain(f"Read by {plural(len(pool), 'process', 'processes')} in {duration(seconds)}.")
    return {path: future.result() for path, future in zip(paths, posted, strict=True)}


def read(pool: ActorPool[Any, Any], paths: Iterable[str], progress: Progress) -> None:
    """Have these files read, and wait for it."""
    follow(post_all(pool, paths), progress)


def post_all(pool: ActorPool[Any, Any], paths: Iterable[str]) -> list[Future[Any]]:
    """Post each file to the member that has its key."""
    return [pool.post(index.Read(path), key=path) for path in paths]


def follow(posted: list[Future[Any]], progress: Progress) -> None:
    """Draw progress as the answers come in."""
    for future in as_completed(posted):
        future.result()
        progress.advance()
    progress.end()


def gather(futures: Iterable[Future[Any]]) -> list[Any]:
    """Return all answers."""
    return [future.result() for future in futures]


def describe(summary: index.Summary) -> str:
    """Return one line on what an actor holds."""
    line = (
        f"   Process {summary.pid} keeps {plural(summary.files, 'file')}, "
        f"{plural(summary.passages, 'passage')}, {summary.entries:,} index entries"
    )
    return f"{line}; {summary.unreadable} unreadable" if summary.unreadable else line


def ask(pool: ActorPool[Any, Any], query: str) -> index.Found:
    """Put one query to all members; they work side by side."""
    return index.search(lambda message: gather(pool.broadcast(message)), query, HITS_SHOWN)


def show_asking(pool: ActorPool[Any, Any]) -> list[tuple[str, index.Found]]:
    """Put our own queries; return them with the answers."""
    explain("""
        A query goes to all members at once, by pool.broadcast(): how common is each word, then
        the best passages by BM25. The index stays where it is; only answers travel.
    """)
    found = []
    for query in QUERIES:
        found.append((query, show_answer(pool, query)))
        for hit in found[-1][1].hits[:1]:
            show_file(pool, hit.path, found[-1][1])
    return found


def answer(pool: ActorPool[Any, Any], options: argparse.Namespace) -> None:
    """Answer the queries of the command line and those typed."""
    typed = read_queries() if options.interactive else iter(())
    for number, query in enumerate(chain(options.queries, typed)):
        show_answer(pool, query, before="\n" if number else "")


def show_answer(pool: ActorPool[Any, Any], query: str, *, before: str = "\n") -> index.Found:
    """Put one query, print the answer and return it."""
    started = perf_counter()
    found = ask(pool, query)
    print(f"{before}   {bold(query.strip())}  {dim(duration(perf_counter() - started))}")
    show_hits(found)
    return found


def show_file(pool: ActorPool[Any, Any], path: str, found: index.Found) -> None:
    """Put the same query to one file: that is, to the member that has its key."""
    started = perf_counter()
    within = pool.post(index.Rank(found.words, found.counts, 1000, path), key=path).result()
    took = dim(duration(perf_counter() - started))
    print(f"   post(..., key={path!r}): {plural(len(within), 'passage')} there  {took}")


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


def show_hits(found: index.Found) -> None:
    """Print the passages found."""
    places = [f"{hit.path}:{hit.line}" for hit in found.hits]
    column = max(map(len, places), default=0)
    for hit, place in zip(found.hits, places, strict=True):
        head = f"   {hit.score:6.2f}  {place:{column}}  "
        print(head + emphasize(fit(hit.text, len(head)), found.words, index.WORD))
    if not found.hits:
        print("   nothing" if found.words else "   nothing: there is no word in it")


def show_stream(pool: ActorPool[Any, Any], paths: Sequence[str]) -> None:
    """Print the first lines that a generator in an actor finds, as it finds them; then stop it."""
    started = perf_counter()
    with pool.stream(index.Grep(GREP, tuple(paths))) as lines:
        for line in islice(lines, LINES_SHOWN):
            head = f"   after {duration(perf_counter() - started):>8}  {line.path}:{line.line}  "
            print(head + fit(line.text, len(head)))
    searched = sum(each.searched for each in gather(pool.broadcast(index.Describe())))
    explain(f"""
        handle() yields them in the actor, at most 16 lines ahead. Leaving the with block has
        ended the generator after {plural(searched, "file")} of {len(paths):,}.
    """)


def show_array(pool: ActorPool[Any, Any]) -> None:
    """Send a big array to and fro, by an actor and by a process pool."""
    try:
        array = importlib.import_module("numpy").ones(ARRAY_BYTES, "uint8")
        kind = "numpy array"
    except ImportError:
        array, kind = bytearray(ARRAY_BYTES), "bytearray (with numpy installed: an array)"
    print(f"   A {kind}, there and back:")
    member = pool.keyed("array")
    rates = [rate(member.submit, array) for _ in range(2)]
    print(f"   an actor, the first time      {rates[0]:6.2f} GB/s, in memory that is new")
    print(f"   an actor, the second time     {rates[1]:6.2f} GB/s")
    # The start method that is safe beside threads, and is there on every system.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        processes.submit(os.getpid).result()  # its start does not count
        print(f"   a ProcessPoolExecutor         {rate(processes.submit, array):6.2f} GB/s")
    explain("Actors get it through shared memory, as their own; a pool pickles it into a pipe.")


def rate(submit: Callable[..., Future[Buffer]], array: Buffer) -> float:
    """Return how many GB/s get to an executor's process and back."""
    started = perf_counter()
    back = submit(index.echo, array).result()
    seconds = perf_counter() - started
    if memoryview(back).nbytes != ARRAY_BYTES:
        raise DisagreementError("the array that came back has another length")
    return 2 * ARRAY_BYTES / seconds / 1e9


def show_death(
    pool: ActorPool[Any, Any], holders: dict[str, int], found: list[tuple[str, index.Found]]
) -> None:
    """Let a member hang, look into it, kill its process, and find nothing lost."""
    first = next(iter(holders))
    pattern, text = ENDLESS
    try:
        stuck = pool.keyed(first).submit(re.match, pattern, text)
        lost = [path for path, pid in holders.items() if pid == holders[first]]
        waiting = post_all(pool, lost)
        while not stuck.running():
            time.sleep(0.001)
        # The message has begun; now the regular expression begins, too.
        time.sleep(0.05)
        explain(f"""
            One member was given a regular expression that takes for ever, and behind it
            {plural(len(waiting), "message")}: its files again, since a new process knows none.
        """)
        show_stuck(pool, holders[first])
        with quiet():
            os.kill(holders[first], signal.SIGKILL)
            print(f"   kill -9 {holders[first]}")
            error = stuck.exception()
            follow(waiting, Progress(len(waiting)))
    except BaseException:
        pool.kill()  # nothing else ends that message
        raise
    print(f"   Its future: {type(error).__name__}, started={getattr(error, 'started', None)}")
    anew = plural(len({future.result() for future in waiting} - {holders[first]}), "new process")
    print(f"   The {plural(len(waiting), 'message')} that waited: handled, by {anew}")
    different = [query for query, before in found if ask(pool, query) != before]
    if different:
        raise DisagreementError(f"after the restart the answers differ to {different}")
    explain(f"{bold('The answers are the same')} as before, to the last bit of every score.")


def show_stuck(pool: ActorPool[Any, Any], pid: int) -> None:
    """Print where a member is, and what waits behind it."""
    (stats,) = (one for one in pool.stats().members if one.pid == pid)
    age = duration(stats.age or 0.0)
    print(f"   stats(): {stats.name} runs one message for {age}, {stats.depth} wait")
    try:
        trace = pool.dump_traceback()
    except NotImplementedError as error:
        print(f"   dump_traceback(): {error}")
        return
    print("   dump_traceback():")
    of_it = trace.partition(f"actor {stats.name}:\n")[2].partition("\n\n")[0]
    for line in of_it.splitlines():
        print(fit(f"     {line}", 0))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the log from saying that an actor is started again: the demo says it."""
    log = logging.getLogger("futures_actors")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
