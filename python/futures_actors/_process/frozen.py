"""Programs that are frozen into an executable, by PyInstaller say.

There `sys.executable` is the program, and no interpreter, so a child begins as the program does.
"""

import sys

#: The argument that says that the next one is the code of a child.
_MARK = "--futures-actors-child"

_has_support = False


def freeze_support() -> None:
    """Let a frozen program have process actors. Its main part calls this before anything else.

    An actor's process begins as another run of the program, which becomes the actor's here and does
    not return. In a program that is not frozen this does nothing. Without it, `executor()` of a
    process actor raises `RuntimeError` in a frozen program.
    """
    global _has_support  # noqa: PLW0603 - it is the program's
    if not is_frozen():
        return
    _has_support = True
    if sys.argv[1:2] == [_MARK]:
        exec(sys.argv[2], {})  # noqa: S102 - this package's own, from the program that started this
        sys.exit()


def is_frozen() -> bool:
    """Whether this program is an executable without an interpreter beside it."""
    return bool(getattr(sys, "frozen", False))


def arguments(code: str) -> list[str]:
    """Return the arguments with which this frozen program runs `code` instead of itself."""
    if not _has_support:
        raise RuntimeError(
            "this program is frozen, and to start a process actor would run it again: its main "
            "part must call futures_actors.freeze_support() before anything else"
        )
    return [_MARK, code]
