"""How a child process is started: a fresh interpreter that looks like this one."""

import os
import subprocess
import sys
from typing import Final

#: Seconds that a child whose link is gone has to end by itself.
_GRACE: Final = 1.0


class Child:
    """A process that has been started for an actor."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Own `process`: nobody else waits for it."""
        self._process = process
        self.pid = process.pid

    def reap(self, kill: bool) -> int | None:  # noqa: FBT001 - called by the core
        """Wait for its end and return the exit code, negative for a signal; None if unknown.

        With `kill`, one that does not end by itself is killed.
        """
        if kill:
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()


def start_child(descriptors: list[int]) -> Child:
    """Start an interpreter that serves this process.

    `descriptors` are what `_child.main` wants: where it reads frames, where it writes them, and
    the shared memory of the claims. The child alone gets copies of them.
    """
    if not sys.executable:
        raise RuntimeError(
            "a process actor needs a Python interpreter to start, and sys.executable is empty; "
            "set it, or use a ThreadActor"
        )
    path = [entry for entry in sys.path if isinstance(entry, str)]
    # The package itself may be importable by this process's sys.path alone.
    code = (
        f"import sys; sys.path[:] = {path!r}; "
        f"from futures_actors import _child; _child.main({descriptors!r}, {os.getpid()})"
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
    process = subprocess.Popen(
        [sys.executable, *flags, "-c", code],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
    )
    return Child(process)
