"""Log records of a process actor reach its parent's loggers: both halves.

The child's half is loaded when the child's own code imports `logging`, and not before; `child`
sees to that. A record crosses as plain values, by marshal, so that nothing is imported to read it.
"""

import logging
import marshal
import os
from typing import Any

from .. import _core

#: Formats tracebacks as every handler does that was not told otherwise.
_FORMATTER = logging.Formatter()

# The parent's half.


def levels() -> dict[str, int]:
    """Return the levels that a child's loggers are to have: those that are set here.

    The root's name is "". What `logging.disable` has set is under ".", which no logger is called.
    """
    manager = logging.root.manager
    found = {"": logging.root.level, ".": manager.disable}
    # A copy: other threads make loggers.
    for name, logger in list(manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.level:
            found[name] = logger.level
    return found


def handle(encoded: bytes, actor: str, lost: int) -> None:
    """Handle a record of a child as this process's logger of that name does.

    `lost` is how many records before it could not be kept.
    """
    fields = marshal.loads(encoded)  # noqa: S302 - it is from a child of ours
    # Of a grandchild, the child has said whose it is.
    if "actor" not in fields:
        fields.update(actor=actor, processName=actor)
    record = logging.makeLogRecord(fields)
    try:
        if lost:
            text = "%d log records of actor %s are lost: those before them are not handled yet"
            logging.getLogger("futures_actors").warning(text, lost, actor)
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
    except Exception:  # noqa: BLE001 - a handler's, or a filter's
        logging.Handler().handleError(record)


# The child's half.


def send_to_parent(wanted: dict[str, int]) -> None:
    """Have every record that a logger of this process lets through sent to the parent.

    What this process's own code configures works besides. `wanted` is what `levels` returned.
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

    # Not a handler of the root: that would keep basicConfig from configuring anything.
    logging.Logger.callHandlers = call_handlers_and_send  # type: ignore[method-assign,assignment]
    # Where nothing is configured, the parent has the last word.
    logging.lastResort = logging.NullHandler()
    # A fork of this process is not the parent's child: its records would end up among ours.
    os.register_at_fork(after_in_child=restore)


def _send(record: logging.LogRecord) -> None:
    try:
        _core.log_to_parent(_encode(record))
    except Exception:  # noqa: BLE001 - a message that cannot be formatted, or the parent is gone
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
    """Return a value that marshal takes: the value itself, or its text."""
    if isinstance(value, int):
        value = int(value)
    try:
        marshal.dumps(value)
    except ValueError:
        return f"{value}"
    return value
