"""The type variables of the package: what an actor takes, what it answers, how it is constructed.

An actor that does not name its types takes and answers `Any`.
"""

from typing import ParamSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import TypeVar

    Message = TypeVar("Message", contravariant=True, default=Any)
    Answer = TypeVar("Answer", covariant=True, default=Any)
else:
    from typing import TypeVar

    Message = TypeVar("Message", contravariant=True)
    Answer = TypeVar("Answer", covariant=True)

P = ParamSpec("P")
Started = TypeVar("Started", covariant=True)
