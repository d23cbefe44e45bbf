"""Texts that describe exceptions of the user's, even if their own code raises meanwhile.

`__str__`, `__repr__`, a metaclass or code that rebuilds an exception may raise anything, including
`SystemExit` and `KeyboardInterrupt`. That must spoil only the text of this exception. This module
must import nothing heavy, because every child has it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")
    Attempt = Callable[[Callable[[], Any]], tuple[Any, BaseException | None]]


def attempt(body: "Callable[[], T]") -> "tuple[T, None] | tuple[None, BaseException]":
    """Call `body`, which runs the user's code; return its result, or the exception of that code.

    An exception of a signal handler, as at Ctrl-C, is raised here instead. To tell it from one of
    the user's code, the main thread (only there do handlers run) calls `body` a second time: the
    user's code raises again, and the handler does not.
    """
    try:
        return body(), None
    except Exception as failed:  # noqa: BLE001 - the user's
        return None, failed
    except BaseException as failed:  # noqa: BLE001 - told apart below
        first = failed
    import threading

    if threading.current_thread() is not threading.main_thread():
        return None, first
    try:
        body()
    except BaseException as again:  # noqa: BLE001 - the user's, if it is the same
        if type(again) is type(first):
            return None, again
    raise first


def attempt_surely(body: "Callable[[], T]") -> "tuple[T, None] | tuple[None, BaseException]":
    """Do what `attempt` does, but never raise: for callers that cannot pass it on, as a child."""
    try:
        return body(), None
    except BaseException as failed:  # noqa: BLE001 - the user's, or a signal handler's
        return None, failed


# `by` is one of these two functions.


def text_of(error: BaseException, by: "Attempt" = attempt) -> str:
    """Return `str(error)`."""
    return _said(lambda: str(error), "text", by)


def repr_of(error: BaseException, by: "Attempt" = attempt) -> str:
    """Return `repr(error)`."""
    return _said(lambda: repr(error), "repr", by)


def name_of(kind: type, by: "Attempt" = attempt) -> str:
    """Return the qualified name of a class."""

    def name() -> str:
        module, name = kind.__module__, kind.__qualname__
        return name if module == "builtins" else f"{module}.{name}"

    return _said(name, "name", by)


def traceback_of(error: BaseException, by: "Attempt" = attempt) -> str:
    """Return the traceback of `error` and those of its causes, as text."""

    def text() -> str:
        import traceback

        return "".join(traceback.format_exception(type(error), error, error.__traceback__))

    return _said(text, "traceback", by)


def _said(say: "Callable[[], str]", what: str, by: "Attempt") -> str:
    # `str` may return an instance of a subclass of `str`, whose methods may raise too.
    said, failed = by(lambda: str.__str__(say()))
    if said is not None:
        return str(said)
    name = type.__dict__["__qualname__"].__get__(type(failed))
    return f"<no {what}: {name} was raised>"
