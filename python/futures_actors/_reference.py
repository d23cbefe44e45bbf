"""`ActorRef`: what any code can do with an actor that it knows."""

from . import _core
from ._future import ActorFuture
from ._proxy import stand_in
from ._types import Answer, Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._pool import PoolRef


class ActorRef(_core.RefCore[Message, Answer]):
    """Refers to an actor: sends it messages, and cannot end it.

    `executor.ref()` makes one, and every executor is one, so that a function whose parameter is an
    `ActorRef` takes both. References to one actor, and its executor, are equal and have the same
    hash; a copy of a reference is the reference itself.
    """

    __module__ = "futures_actors"

    @property
    def name(self) -> str:
        """The actor's name in threads, errors and the log."""
        return self._name()

    @property
    def index(self) -> int | None:
        """The member's index in its pool, from 0 on; None if the actor is in no pool."""
        return self._index()

    @property
    def pool(self) -> "PoolRef[Message, Answer] | None":
        """A reference to the pool that the actor is a member of; None if it is in no pool."""
        return self._pool()

    async def apost(self, message: Message) -> ActorFuture[Answer]:
        """Do what `post` does, but wait for room in a full mailbox before going on.

        It does not block the event loop. It returns the future, so
        `await (await executor.apost(message))` is the answer. If the waiting task is cancelled,
        nothing is posted. Raises as `post` does.
        """
        from ._awaiting import apost

        return await apost(self, message)

    async def atell(self, message: Message) -> None:
        """Do what `tell` does, but wait for room without blocking the event loop.

        If the waiting task is cancelled, nothing is sent. Raises as `tell` does.
        """
        from ._awaiting import atell

        await atell(self, message)


def load(
    described: tuple[int, str, bool, int, int],
    described_class: tuple[str, tuple[str, ...]],
) -> ActorRef:
    """Make a reference that was sent to this process; the class is described by `describe`."""
    return _core.load_reference(described, stand_in(*described_class))
