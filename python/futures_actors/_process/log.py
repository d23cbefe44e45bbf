"""Sends log records of a process actor to its parent's loggers: the code of both processes.

A child imports this module only when its own code imports `logging` (see `child`). Records cross
as plain values by `marshal`, so that reading one imports nothing.
"""

import logging
import marshal
import os
import sys
from typing import Any

from .. import _core

#: Formats tracebacks as handlers do by default.
_FORMATTER = logging.Formatter()

# In the parent.


def levels() -> dict[str, int]:
    """Return the levels of this process's loggers, which a child's loggers get.

    The root's name is "". Under ".", which is no logger's name, is what `logging.disable` has set.
    """
    manager = logging.root.manager
    found = {"": logging.root.level, ".": manager.disable}
    # Copy the dict: other threads may create loggers meanwhile.
    for name, logger in list(manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level:
            found[name] = logger.level
    return found


def handle(encoded: bytes, actor: str, lost: int) -> None:
    """Pass a record of a child to this process's logger of the same name.

    `lost` is how many records before it were dropped.
    """
    fields = marshal.loads(encoded)  # noqa: S302 - it is from a child of ours
    # A grandchild's record already names its actor.
    if "actor" not in fields:
        fields.update(actor=actor, processName=actor)
    record = logging.makeLogRecord(fields)
    try:
        if lost:
            text = "%d log records of actor %s were dropped: earlier ones are not handled yet"
            logging.getLogger("futures_actors").warning(text, lost, actor)
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
    except Exception:  # noqa: BLE001 - a handler or a filter of the user's
        logging.Handler().handleError(record)


# In the child.


def send_to_parent(wanted: dict[str, int]) -> None:
    """Send every record that a logger of this process accepts to the parent.

    Handlers that this process's own code adds work as well. `wanted` is what `levels` returned.
    """
    logging.disable(wanted.pop("."))
    for name, level in wanted.items():
        logging.getLogger(name).setLevel(level)
    call_handlers = logging.Logger.callHandlers
    last_resort = logging.lastResort

    def call_handlers_and_send(logger: logging.Logger, record: logging.LogRecord) -> None:
        _send(record)
        call_handlers(logger, record)

    def restore() -> None:
        logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]
        logging.lastResort = last_resort

    # Not by a handler of the root logger, because then `basicConfig` would configure nothing.
    logging.Logger.callHandlers = call_handlers_and_send  # type: ignore[method-assign,assignment]
    # If nothing is configured here, the parent decides what to print.
    logging.lastResort = logging.NullHandler()
    # A fork of this process must not write to the parent's pipe: its records would mix with ours.
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=restore)


def _send(record: logging.LogRecord) -> None:
    try:
        _core.log_to_parent(_encode(record))
    except Exception:  # noqa: BLE001 - it cannot be formatted, or the parent has ended
        logging.Handler().handleError(record)


def _encode(record: logging.LogRecord) -> bytes:
    fields = dict(vars(record), msg=record.getMessage(), args=None, exc_info=None)
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = _FORMATTER.formatException(record.exc_info)
    try:
        return marshal.dumps(fields)
    except ValueError:
        return marshal.dumps({name: _plain(value) for name, value in fields.items()})


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a record may hold
    """Return the value if `marshal` supports it, and its text otherwise."""
    if isinstance(value, int):
        value = int(value)
    try:
        marshal.dumps(value)
    except ValueError:
        return f"{value}"
    return value
