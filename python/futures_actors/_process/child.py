"""The entry of a child process, and how it encodes what its object raises.

It must import nothing heavy: what is imported here is paid for at each start.
"""

import _signal  # type: ignore[import-not-found] # signal itself imports enum
import faulthandler  # noqa: F401 - _core.serve uses it; a fork server has loaded it then
import sys

from .. import _core
from .._texts import attempt_surely, name_of, text_of, traceback_of
from . import tracker
from .when_loaded import when_loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    #: What `start.surroundings` returned.
    Surroundings = tuple[list[str], list[str], dict[str, int], str, bytes | None]


def main(descriptors: list[int], parent: int) -> None:
    """Serve the process `parent` until it says stop.

    `descriptors`: where to read frames, where to write them, the shared memory of the claims, and
    those of the resource tracker.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _on_interrupt)
    # `interpreter` has held Ctrl-C back until now. What else that thread blocks is its own affair:
    # here, SIGTERM must end the process, and alarms must go off.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
    request, answer, shared, *trackers = descriptors
    tracker.join(trackers)

    def prepare(name: str, surroundings: "Surroundings") -> None:
        _prepare(name, parent, *surroundings)

    _core.serve(request, answer, shared, parent, prepare, dump_error)


def _prepare(  # noqa: PLR0913, PLR0917 - they are not related
    name: str,
    parent: int,
    argv: list[str],
    path: list[str],
    levels: dict[str, int],
    parent_name: str,
    authkey: bytes | None,
) -> None:
    """Take on what the parent looks like, before anything of the user's is loaded.

    `name` is the actor's, `parent` the parent's pid, `levels` are those of its loggers;
    `parent_name` and `authkey` are those of its `multiprocessing`.
    """
    sys.argv = argv
    sys.path[:] = path
    when_loaded("logging", lambda: _log_to_parent(levels))
    when_loaded("multiprocessing.process", lambda: _be_a_child(name, parent, parent_name, authkey))


def _log_to_parent(levels: dict[str, int]) -> None:
    from . import log

    log.send_to_parent(levels)


def _be_a_child(name: str, parent: int, parent_name: str, authkey: bytes | None) -> None:
    """Tell the `multiprocessing` of this process whose child it is.

    With the parent's `authkey` it can talk to the processes of the parent's: to managers, say.
    """
    import os

    process: Any = sys.modules["multiprocessing.process"]
    current = process.current_process()
    current.name = name
    if authkey is not None:
        current.authkey = authkey
    try:
        sentinel = os.pidfd_open(parent)
    except (AttributeError, OSError):
        # Without one, it could not tell when the parent has ended.
        return
    process._parent_process = process._ParentProcess(parent_name, parent, sentinel)  # noqa: SLF001


def _on_interrupt(_signum: int, _frame: object) -> None:
    """Interrupt `handle`, whose future gets the exception; between messages, do nothing."""
    if _core.handling():
        raise KeyboardInterrupt


def dump_error(error: BaseException, is_loaded: bool = True) -> bytes:  # noqa: FBT001, FBT002
    """Encode an exception: class name, text, traceback as text, and its pickle if it has one.

    Whether it can be pickled and rebuilt is found out here, where it is; `_errors.load_error`
    decodes it. `is_loaded` is false of what was raised before the actor's class was there.
    """
    by = attempt_surely
    said = name_of(type(error), by), text_of(error, by), traceback_of(error, by)
    # Where it cannot cross, `RemoteError` will stand for it.
    pickled, _ = by(lambda: _pickle(error))
    return _core.dumps((*said, pickled, is_loaded), "an exception")


def _pickle(error: BaseException) -> bytes | None:
    pickled = _core.dumps(error, "an exception")
    return pickled if type(_core.loads(pickled)) is type(error) else None
