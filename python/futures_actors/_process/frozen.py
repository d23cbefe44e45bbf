"""Programs that are frozen into an executable, for example by PyInstaller.

There `sys.executable` is the program instead of an interpreter, so a child starts as another run of
the program.
"""

import sys

#: After this argument comes the code of a child.
_MARK = "--futures-actors-child"

_has_support = False


def freeze_support() -> None:
    """Let a frozen program have process actors. Call this in its main part before anything else.

    An actor's process starts as another run of the program. There this function runs the actor and
    does not return. In a program that is not frozen it does nothing. If a frozen program does not
    call it, `executor()` of a process actor raises `RuntimeError`.
    """
    global _has_support  # noqa: PLW0603 - one for the program
    if not is_frozen():
        return
    _has_support = True
    if sys.argv[1:2] == [_MARK]:
        exec(sys.argv[2], {})  # noqa: S102 - this package's own, from the program that started this
        sys.exit()


def is_frozen() -> bool:
    """Whether this program is a frozen executable."""
    return bool(getattr(sys, "frozen", False))


def arguments(code: str) -> list[str]:
    """Return the arguments with which this frozen program runs `code` instead of its main part."""
    if not _has_support:
        raise RuntimeError(
            "this program is frozen, so starting a process actor would run the program again: its "
            "main part must call futures_actors.freeze_support() before anything else"
        )
    return [_MARK, code]
