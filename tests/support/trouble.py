"""Exceptions that cross to another process badly or not at all, and messages that do not pickle."""

import os
import threading


class Uncrossable(Exception):
    """Holds what no pickler takes."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class TwoArguments(Exception):
    """Pickles, but cannot be rebuilt: it remembers one argument, and its constructor needs two."""

    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


class Speechless(Exception):
    """Can neither cross nor say what it is."""

    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__

    def __reduce__(self):
        raise RuntimeError("no pickle")


class Impostor(Exception):
    """Rebuilds as something that is no exception."""

    def __reduce__(self):
        return str, ("not an exception",)


class Custom(Exception):
    """Crosses: its arguments rebuild it, and it has attributes."""

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code


class Final(BaseException):
    """Extends BaseException, not Exception."""


class BreaksElsewhere:
    """Pickles anywhere, and fails to unpickle in any process but the one that made it."""

    def __init__(self, text, home=None):
        self.text = text
        self.home = home or os.getpid()

    def __reduce__(self):
        return rebuild_at_home, (self.text, self.home)


def rebuild_at_home(text, home):
    if os.getpid() != home:
        raise ValueError(f"{text} does not travel")
    return BreaksElsewhere(text, home)


class RefusesToPickle:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error
