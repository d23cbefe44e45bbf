"""What is said of exceptions of the user's, whatever their own code does when it is asked.

`__str__`, `__repr__`, a metaclass or what rebuilds an exception may raise anything, `SystemExit`
and `KeyboardInterrupt` included. That is the trouble of that exception alone. Nothing heavy is
imported: each child has this.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")
    Attempt = Callable[[Callable[[], Any]], tuple[Any, BaseException | None]]


def attempt(body: "Callable[[], T]") -> "tuple[T, None] | tuple[None, BaseException]":
    """Call `body`, which runs code of the user's; return its result, or what that code raised.

    What the handler of a signal raises meanwhile, as at Ctrl-C, is raised here. Handlers run on the
    main thread, and raise once, where the user's code would raise again: so it is called again.
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
    """Do what `attempt` does, but raise nothing: where nobody could take it, as in a child."""
    try:
        return body(), None
    except BaseException as failed:  # noqa: BLE001 - the user's, or a signal that comes too late
        return None, failed


# `by` is one of the two.


def text_of(error: BaseException, by: "Attempt" = attempt) -> str:
    """Return what `str` says."""
    return _said(lambda: str(error), "text", by)


def repr_of(error: BaseException, by: "Attempt" = attempt) -> str:
    """Return what `repr` says."""
    return _said(lambda: repr(error), "repr", by)


def name_of(kind: type, by: "Attempt" = attempt) -> str:
    """Return the qualified name of a class."""

    def name() -> str:
        module, name = kind.__module__, kind.__qualname__
        return name if module == "builtins" else f"{module}.{name}"

    return _said(name, "name", by)


def traceback_of(error: BaseException, by: "Attempt" = attempt) -> str:
    """Return its traceback as text, with those of its causes."""

    def text() -> str:
        import traceback

        return "".join(traceback.format_exception(type(error), error, error.__traceback__))

    return _said(text, "traceback", by)


def _said(say: "Callable[[], str]", what: str, by: "Attempt") -> str:
    # What `str` returns may be of a subclass, which has code of its own.
    said, failed = by(lambda: str.__str__(say()))
    if said is not None:
        return str(said)
    name = type.__dict__["__qualname__"].__get__(type(failed))
    return f"<its {what} cannot be had: {name} was raised>"
