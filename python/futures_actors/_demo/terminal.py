"""How the demo looks on a terminal: a progress bar, bold letters, numbers with their units."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from typing import TextIO


class Progress:
    """How far the reading is: a bar on a terminal, else a line for each quarter."""

    def __init__(self, files: int, *, lines: bool = True) -> None:
        """Start at none of so many files. Without `lines`, show nothing but a bar."""
        self.files = files
        self.lines = lines
        self.done = 0
        self.drawn = sys.stdout.isatty() and sys.stderr.isatty()
        self.draw()

    def advance(self) -> None:
        """Show that one more file has been read."""
        quarter = 4 * self.done // self.files
        self.done += 1
        if self.drawn:
            self.draw()
        elif self.lines and 4 * self.done // self.files > quarter:
            print(f"   {self.done / self.files:4.0%}  {self.done:,} of {self.files:,} files")

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


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def fit(text: str, taken: int) -> str:
    """Shorten `text` to the columns that a terminal has left; for a file, leave it whole."""
    if not sys.stdout.isatty():
        return text
    return text[: max(0, shutil.get_terminal_size().columns - taken)]


def emphasize(text: str, words: tuple[str, ...], word: re.Pattern[str]) -> str:
    """Return `text` with these words, however written, in bold; `word` finds one."""
    return word.sub(lambda found: bold(found[0]) if found[0].lower() in words else found[0], text)


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
