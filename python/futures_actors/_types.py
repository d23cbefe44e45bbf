"""The type variables of the package: what an actor takes, what it answers, how it is constructed.

An actor that does not name its types takes and returns `Any`. Calls through a proxy that was not
annotated return `Any`, too.
"""

from typing import ParamSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import TypeVar

    from ._proxy import Proxy, StreamProxy

    Message = TypeVar("Message", contravariant=True, default=Any)
    Answer = TypeVar("Answer", covariant=True, default=Any)
    Calls = TypeVar("Calls", default=Proxy)
    StreamCalls = TypeVar("StreamCalls", default=StreamProxy)
    Item = TypeVar("Item", covariant=True, default=Any)
else:
    from typing import TypeVar

    Message = TypeVar("Message", contravariant=True)
    Answer = TypeVar("Answer", covariant=True)
    Calls = TypeVar("Calls")
    StreamCalls = TypeVar("StreamCalls")
    Item = TypeVar("Item", covariant=True)

P = ParamSpec("P")
Result = TypeVar("Result")
Started = TypeVar("Started", covariant=True)
