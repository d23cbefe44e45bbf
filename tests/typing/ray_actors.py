"""What the type checkers say of actors on a Ray cluster, whether Ray is installed or not: see
`actors.py`."""

from typing import Any

from typing_extensions import assert_type

from futures_actors import ActorExecutor, ActorFuture
from futures_actors.ray import RayActor, RayActorExecutor


class Counter(RayActor[int, int]):
    def __init__(self, start: int = 0, *, step: int = 1) -> None:
        self.total = start
        self.step = step

    def handle(self, message: int) -> int:
        self.total += message * self.step
        return self.total


class Untyped(RayActor):
    def handle(self, message: object) -> object:
        return message


async def the_types_of_the_class_are_those_of_its_executor() -> None:
    counter = Counter.executor(100, step=2)
    assert_type(counter, RayActorExecutor[int, int])
    assert_type(counter.post(3), ActorFuture[int])
    assert_type(await counter.post(3), int)
    counter.post("3")  # E
    counter.tell("3")  # E
    Counter.executor("100")  # E
    Counter.executor(stop=1)  # E
    with Counter.executor() as same:
        assert_type(same, RayActorExecutor[int, int])
    wide: ActorExecutor[int, object] = counter
    wide.post(1)
    assert_type(Untyped.executor(), RayActorExecutor[Any, Any])


class TakesWhatItSaysNot(RayActor[int, int]):
    def handle(self, message: str) -> int:  # E
        return 0


def options_keep_the_types_and_take_what_ray_has() -> None:
    options = Counter.options(name="c", window=2, start_timeout=9.5, zero_copy=True, num_cpus=1)
    assert_type(options.executor(1, step=2), RayActorExecutor[int, int])
    options.executor("1")  # E
    Counter.options(window="2")  # E
    Counter.options(zero_copy=1)  # E
    Counter.options(mailbox_size=2.5)  # E
