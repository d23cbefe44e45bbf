"""The demo's work: a full-text index of Python source, shared out among a pool of process actors.

Prints nothing: `show` does. Every child imports this module, so it imports little itself.

An index is made of *passages*: the lines from one that opens a function or class to the next such
line. BM25 ranks them, and needs to know how common a word is in the whole collection. A member of
the pool knows its own files only, so a search is two rounds of messages: the answers to `Count` are
added up, those to `Rank` are merged. The scores do not depend on the number of members.
"""

from __future__ import annotations

import heapq
import math
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import ProcessActor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from typing_extensions import Buffer


# `ThreadPool`, `thread_pool` and `THREAD_POOL` are all the words "thread" and "pool".
WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|\d+")
# A line that opens a function or class, with the decorators above it. Group 1 is that line.
OPENING = re.compile(
    r"^(?:[ \t]*@.*\n)*([ \t]*(?:async[ \t]+def|def|class)[ \t]+\w+[ \t]*[(:\[].*)", re.MULTILINE
)
# What a folder of modules holds besides the modules that people import.
TESTS = frozenset({"idle_test", "test", "tests"})
INSTALLED = frozenset({"dist-packages", "site-packages"})

# The usual constants of BM25: how soon repetition stops to pay, how much length costs.
SATURATION = 1.2
LENGTH_PENALTY = 0.75


class Read(NamedTuple):
    """Message: add this file. The answer is the id of the process that has it now."""

    path: str
    """Relative to the root that the index was created with."""


class Describe(NamedTuple):
    """Message: say what you hold. The answer is a `Summary`."""


class Forget(NamedTuple):
    """Message: drop everything. The demo posts it by mistake, and cancels it."""


class Count(NamedTuple):
    """Message: in how many passages does each word occur? The answer is `Counts`."""

    words: tuple[str, ...]


class Counts(NamedTuple):
    """What BM25 has to know about a collection."""

    passages: int
    length: int
    """In words, of all passages together."""
    containing: tuple[int, ...]
    """For each word asked for, the number of passages that contain it."""


class Rank(NamedTuple):
    """Message: your best passages, please. The answer is a list of `Hit`, best first."""

    words: tuple[str, ...]
    counts: Counts
    """Of the whole collection, not of one shard."""
    limit: int
    path: str | None = None
    """Look only into this file."""


class Grep(NamedTuple):
    """Message for a stream: yield a `Line` for each line of these files that has the pattern."""

    pattern: str
    paths: tuple[str, ...]


class Line(NamedTuple):
    """A line found."""

    path: str
    line: int
    """From 1."""
    text: str
    """Without its indentation."""


class Hit(NamedTuple):
    """One passage found."""

    score: float
    path: str
    line: int
    """From 1."""
    text: str
    """That line, without its indentation."""


class Summary(NamedTuple):
    """What an index holds, and the process that holds it."""

    pid: int
    files: int
    passages: int
    entries: int
    """One for each passage and each different word in it."""
    unreadable: int
    """Files that the system would not open."""
    searched: int
    """Files that the last `Grep` opened."""


class Index:
    """A full-text index: an ordinary class that knows nothing of actors."""

    def __init__(self, root: str) -> None:
        """Start empty; the file of a `Read` is found below the folder `root`."""
        self.root = root
        self.searched = 0
        self.clear()

    def handle(self, message: Read | Count | Describe | Forget | Grep | Rank) -> object:
        """Do what `message` asks; its class says what the answer is."""
        match message:
            case Read(path):
                self.read(path)
                return os.getpid()
            case Count(words):
                return self.count(words)
            case Rank():
                return self.rank(*message)
            case Grep(pattern, paths):
                return self.grep(pattern, paths)
            case Describe():
                return self.summary()
            case Forget():
                self.clear()
        return None

    def clear(self) -> None:
        """Become empty."""
        self.files = self.unreadable = 0
        self.length = 0  # in words, of all passages
        # Three columns with a row for each passage.
        self.places: list[tuple[str, int, str]] = []  # path, line, text of that line
        self.lengths: list[int] = []  # in words
        # Flat, because a million pairs would take three times the memory:
        # word -> [passage, occurrences, passage, occurrences, ...]
        self.entries: dict[str, list[int]] = {}

    def load(self, path: str) -> str | None:
        """Return the text of a file, or None if the system would not open it."""
        try:
            # pathlib would be one more import for every child.
            with open(os.path.join(self.root, path), "rb") as file:  # noqa: PTH118, PTH123
                return file.read().decode(errors="replace")
        except OSError:
            return None

    def read(self, path: str) -> None:
        """Add the passages of one file. One that cannot be read is counted as such."""
        self.files += 1
        text = self.load(path)
        if text is None:
            self.unreadable += 1
            return
        for line, heading, body in passages(text):
            words = Counter(split_words(body))
            if not words:
                continue
            number = len(self.places)
            self.places.append((path, line, heading.strip()))
            self.lengths.append(words.total())
            self.length += words.total()
            for word, occurrences in words.items():
                self.entries.setdefault(word, []).extend((number, occurrences))

    def grep(self, pattern: str, paths: Sequence[str]) -> Iterator[Line]:
        """Yield the lines that have this pattern, file by file."""
        find = re.compile(pattern).search
        for self.searched, path in enumerate(paths, 1):
            for number, line in enumerate((self.load(path) or "").split("\n"), 1):
                if find(line):
                    yield Line(path, number, line.strip())

    def count(self, words: Sequence[str]) -> Counts:
        """Return what this index adds to the statistics of the whole collection."""
        containing = tuple(len(self.entries.get(word, ())) // 2 for word in words)
        return Counts(len(self.places), self.length, containing)

    def rank(self, words: Sequence[str], counts: Counts, limit: int, path: str | None) -> list[Hit]:
        """Return the `limit` best passages, scored by the statistics of the whole collection."""
        scores: dict[int, float] = {}
        mean_length = counts.length / max(1, counts.passages)
        for word, containing in zip(words, counts.containing, strict=True):
            rarity = math.log(1 + (counts.passages - containing + 0.5) / (containing + 0.5))
            entries = self.entries.get(word, [])
            for number, occurrences in zip(entries[::2], entries[1::2], strict=True):
                relative_length = self.lengths[number] / mean_length
                damping = SATURATION * (1 - LENGTH_PENALTY + LENGTH_PENALTY * relative_length)
                score = rarity * occurrences * (SATURATION + 1) / (occurrences + damping)
                scores[number] = scores.get(number, 0.0) + score
        hits = (Hit(score, *self.places[number]) for number, score in scores.items())
        return best((hit for hit in hits if path is None or hit.path == path), limit)

    def summary(self) -> Summary:
        """Return the sizes of this index."""
        entries = sum(map(len, self.entries.values())) // 2
        sizes = (self.files, len(self.places), entries, self.unreadable, self.searched)
        return Summary(os.getpid(), *sizes)


class Indexer(Index, ProcessActor):
    """An index in a process of its own: the whole of what makes an actor of a class."""


def echo(array: Buffer) -> Buffer:
    """Return what it gets, wherever it runs."""
    return array


class Found(NamedTuple):
    """The answer to a query."""

    words: tuple[str, ...]
    counts: Counts
    hits: list[Hit]


def search(ask: Callable[[Count | Rank], list[Any]], query: str, limit: int) -> Found:
    """Return the `limit` best passages for `query` among all that `ask` reaches."""
    words = tuple(dict.fromkeys(split_words(query)))
    parts = ask(Count(words))
    containing = tuple(map(sum, zip(*(part.containing for part in parts), strict=True)))
    counts = Counts(sum(p.passages for p in parts), sum(p.length for p in parts), containing)
    answers = ask(Rank(words, counts, limit))
    return Found(words, counts, best((hit for hits in answers for hit in hits), limit))


def best(hits: Iterable[Hit], limit: int) -> list[Hit]:
    """Return the `limit` best, equal ones by path and line: who found them must not matter."""
    return heapq.nsmallest(limit, hits, key=lambda hit: (-hit.score, hit.path, hit.line))


def split_words(text: str) -> list[str]:
    """Return the words of `text` in lower case, those inside identifiers too."""
    return [word.lower() for word in WORD.findall(text)]


def passages(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, first line and text of each passage, decorators included."""
    openings = list(OPENING.finditer(text))
    bounds = [*(opening.start() for opening in openings), len(text)]
    head = text[: bounds[0]]
    yield (*first_line(head), head)
    line, at = 1, 0
    for opening, end in zip(openings, bounds[1:], strict=True):
        line += text.count("\n", at, opening.start(1))
        at = opening.start(1)
        yield line, opening[1], text[opening.start() : end]


def first_line(head: str) -> tuple[int, str]:
    """Return number and text of the first line of a module that tells a reader something."""
    for number, line in enumerate(head.split("\n"), 1):
        if WORD.search(line) and not line.startswith(("#!", "# -*-")):
            return number, line
    return 1, ""


def find_files(root: str, *, with_tests: bool) -> dict[str, int]:
    """Return the size in bytes of each Python file below `root`, by its path from there."""
    skipped = INSTALLED if with_tests else INSTALLED | TESTS
    found = {}
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if name not in skipped and not name.startswith(".")]
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - as above
            # Neither a socket called x.py nor a link to nowhere.
            if name.endswith(".py") and os.path.isfile(path):  # noqa: PTH113
                found[os.path.relpath(path, root)] = os.path.getsize(path)  # noqa: PTH202
    return found
