"""What the type checkers say of actors: a line that ends in `# E` is an error for both, one that
ends in `# E mypy` only for mypy. No other line is an error."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from typing_extensions import assert_type

from futures_actors import (
    Actor,
    ActorExecutor,
    ActorFuture,
    ActorPool,
    ActorRef,
    ActorStream,
    Options,
    ProcessActor,
    ProcessActorExecutor,
    Proxy,
    ThreadActor,
    ThreadActorExecutor,
)

T = TypeVar("T")


class Counter(ThreadActor[int, int]):
    def __init__(self, start: int = 0, *, step: int = 1) -> None:
        self.total = start
        self.step = step

    def handle(self, message: int) -> int:
        self.total += message * self.step
        return self.total


class Far(ProcessActor[str, bytes]):
    def handle(self, message: str) -> bytes:
        return message.encode()


FarExecutor: TypeAlias = ProcessActorExecutor[str, bytes]


async def a_future_is_what_asyncio_awaits() -> None:
    with Counter.executor() as counter:
        assert_type(await asyncio.gather(counter.post(1), counter.submit(str, 2)), tuple[int, str])
        assert_type(await asyncio.wait_for(counter.post(1), timeout=3), int)
        assert_type(await asyncio.wrap_future(counter.post(1)), int)
        assert_type([await each for each in map(counter.post, range(3))], list[int])


async def the_types_of_the_class_are_those_of_its_executor() -> None:
    counter = Counter.executor(100, step=2)
    assert_type(counter, ThreadActorExecutor[int, int])
    assert_type(counter.post(3), ActorFuture[int])
    assert_type(counter.post(3).result(), int)
    assert_type(await counter.post(3), int)
    counter.post("3")  # E
    assert_type(await (await counter.apost(3)), int)
    await counter.apost("3")  # E
    counter.tell(3)
    counter.tell("3")  # E
    assert_type(counter.stats().depth, int)
    assert_type(Far.executor(), ProcessActorExecutor[str, bytes])
    Far.executor().post(b"")  # E
    with Counter.executor() as same:
        assert_type(same, ThreadActorExecutor[int, int])


class TakesWhatItSaysNot(ThreadActor[int, int]):
    def handle(self, message: str) -> int:  # E
        return 0


class AnswersWhatItSaysNot(ThreadActor[int, int]):
    def handle(self, message: int) -> str:  # E
        return ""


def the_constructors_arguments_are_checked() -> None:
    Counter.executor("100")  # E
    Counter.executor(start="100")  # E
    Counter.executor(step="2")  # E
    Counter.executor(1, 2)  # E
    Counter.executor(stop=1)  # E
    Far.executor(1)  # E


class NamesItsMessage(ThreadActor[int, float]):
    def handle(self, number: int | str) -> int:
        return int(number)


class Asynchronous(ThreadActor[int, int], max_concurrency=10):
    async def on_start(self) -> None:
        pass

    async def handle(self, message: int) -> int:
        return message

    async def on_stop(self) -> None:
        pass


class AwaitsWhatItSaysNot(ThreadActor[int, int]):
    async def handle(self, message: int) -> str:  # E
        return ""


async def an_async_actor_has_the_types_of_its_class() -> None:
    async with Asynchronous.executor() as executor:
        assert_type(executor, ThreadActorExecutor[int, int])
        assert_type(await executor.post(1), int)
        assert_type(await executor.atell(1), None)
        await executor.ashutdown(timeout=3)


class Untyped(ThreadActor):
    def __init__(self, start: int) -> None:
        self.total = start

    def handle(self, message: int) -> int:
        return message


class UntypedToo(ProcessActor):
    def handle(self, message):  # type: ignore[no-untyped-def]
        return 0


def a_class_that_names_no_types_takes_and_answers_any() -> None:
    assert_type(Untyped.executor(1), ThreadActorExecutor[Any, Any])
    assert_type(Untyped.executor(1).post("anything").result(), Any)
    assert_type(UntypedToo.executor().post(object()).result(), Any)
    Untyped.executor()  # E
    UntypedToo.executor(1)  # E


@dataclass
class Data(ProcessActor[int, str]):
    name: str
    size: int = 1

    def handle(self, message: int) -> str:
        return self.name * message


class Box(ThreadActor[T, list[T]], Generic[T]):
    def __init__(self, first: T) -> None:
        self.held = [first]

    def handle(self, message: T) -> list[T]:
        return [*self.held, message]


class Base(ThreadActor[int, int], ABC):
    def __init__(self, size: int) -> None:
        self.size = size

    @abstractmethod
    def handle(self, message: int) -> int: ...


class Derived(Base):
    def handle(self, message: int) -> int:
        return message + self.size


class New(ThreadActor[int, int]):
    def __new__(cls, size: int) -> "New":
        return super().__new__(cls)


class Later(Derived):
    def __init__(self, size: int, *, name: str) -> None:
        super().__init__(size)
        self.name = name


class Words:
    def __init__(self, longest: int) -> None:
        self.longest = longest

    def handle(self, message: str) -> int:
        return min(len(message), self.longest)


class NearWords(Words, ThreadActor[str, int]):
    pass


class FarWords(Words, ProcessActor[str, int]):
    pass


def classes_of_every_make_are_checked() -> None:
    assert_type(Later.executor(1, name="a").post(1).result(), int)
    Later.executor(1)  # E
    Later.executor(1, "a")  # E
    for kind in (NearWords, FarWords):
        with kind.executor(3) as words:
            assert_type(words.post("a").result(), int)
            words.post(1)  # E
    assert_type(Data.executor("a", size=2), ProcessActorExecutor[int, str])
    Data.executor(1)  # E
    assert_type(Box[int].executor(1), ThreadActorExecutor[int, list[int]])
    Box[int].executor("1")  # E
    assert_type(Derived.executor(1), ThreadActorExecutor[int, int])
    Derived.executor("1")  # E
    assert_type(New.executor(1), ThreadActorExecutor[int, int])
    New.executor("1")  # E


def options_keep_the_types() -> None:
    quick = Far.options(start_method="forkserver")
    assert_type(quick.executor(), ProcessActorExecutor[str, bytes])
    quick.executor(1)  # E
    assert_type(Counter.options(name="c", mailbox_size=3).executor(1).post(2).result(), int)
    Counter.options(mailbox_size="3")  # E
    assert_type(Far.options(max_restarts=3, restart_window=60), Options[[], FarExecutor])
    Counter.options(max_restarts=3)  # E
    Counter.options(restart_window=60)  # E
    Counter.options(start_method="spawn")  # E
    Counter.options(shared_memory=0)  # E
    Far.options(start_methods="spawn")  # E
    Far.options(start_method=1)  # E
    assert_type(Counter.options().executor(1).post(2), ActorFuture[int])
    Counter.options().executor("1")  # E


def start(cls: type[ThreadActor[int, T]]) -> T:
    """Through a variable that holds a class, the types of messages are known."""
    return cls.executor().post(1).result()


assert_type(start(Counter), int)


def mypy_does_not_see_a_constructor_through_a_variable(cls: type[Counter]) -> None:
    cls.executor(1)  # E mypy


def executors_of_more_messages_and_fewer_answers_fit() -> None:
    class Wide(ThreadActor[object, bool]):
        def handle(self, message: object) -> bool:
            return bool(message)

    narrow: ActorExecutor[int, int] = Wide.executor()
    narrow.post(1)
    wide: ActorExecutor[object, int] = Counter.executor()  # E
    wide.post("1")


def what_all_executors_have(executor: ActorExecutor[int, int]) -> None:
    executor.tell("1")  # E
    assert_type(executor.submit(len, "abc"), ActorFuture[int])
    assert_type(executor.stats().pid, int | None)
    assert_type(executor.proxy().anything("goes").result(), Any)
    assert_type(list(executor.imap([1, 2], buffersize=1, timeout=3)), list[int])
    assert_type(next(executor.imap_unordered(range(3))), int)
    executor.imap(["1"])  # E
    executor.shutdown(wait=False, cancel_futures=True)
    executor.shutdown(timeout=3)
    executor.terminate()
    executor.kill()
    assert_type(executor.dump_traceback(timeout=3), str)
    with executor as same:
        assert_type(same, ActorExecutor[int, int])


def use(executor: Executor, future: Future[int]) -> None:
    future.add_done_callback(lambda done: print(done.result()))
    assert_type(executor.submit(len, "abc"), Future[int])


def it_is_an_executor_and_they_are_futures() -> None:
    use(Counter.executor(), Counter.executor().post(1))
    assert_type(Counter.executor().submit(len, "abc"), ActorFuture[int])
    Counter.executor().submit(len)  # E
    Counter.executor().submit(len, 3)  # E
    assert_type(list(Counter.executor().map(str, [1, 2])), list[str])


def the_base_is_typed_too(cls: type[Actor[int, str]]) -> None:
    options: Options[[], FarExecutor] = Far.options()
    assert_type(options.executor().post("").result(), bytes)
    assert_type(cls.executor(), ActorExecutor[int, str])


class Bounded(ProcessActor[str, bytes], mailbox_size=3, max_restarts=1, name="bounded"):
    def handle(self, message: str) -> bytes:
        return message.encode()


class Near(ThreadActor[int, int], max_restarts=1):  # E
    def handle(self, message: int) -> int:
        return message


class Misspelt(ThreadActor[int, int], mailbox_sice=1):  # E
    def handle(self, message: int) -> int:
        return message


class Worded(ThreadActor[int, int], mailbox_size="one"):  # E
    def handle(self, message: int) -> int:
        return message


def the_keywords_of_a_class_are_checked() -> None:
    assert_type(Bounded.executor(), ProcessActorExecutor[str, bytes])


class Adder(Protocol):
    def add(self, amount: int, /) -> ActorFuture[int]: ...


class Account(ProcessActor):
    def add(self, amount: int, /) -> int:
        return amount


def calls_through_a_proxy_are_checked_against_a_protocol() -> None:
    adder: Adder = Account.executor().proxy()
    assert_type(adder.add(1).result(), int)
    adder.add("1")  # E
    adder.subtract(1)  # E


def calls_through_a_bare_proxy_are_not_checked() -> None:
    proxy = Account.executor().proxy()
    assert_type(proxy, Proxy)
    assert_type(proxy.anything("goes"), ActorFuture[Any])
    assert_type(Account.executor().proxy().add(1).result(), Any)


class Handles(Protocol):
    def handle(self, message: int) -> int: ...


handler: Handles = Counter()


class Worker(ThreadActor[str, int]):
    """Asks an actor that it knows by a reference or by its executor."""

    def __init__(self, store: ActorRef[str, bytes]) -> None:
        self.store = store

    def handle(self, message: str) -> int:
        self.store.tell(3)  # E
        return len(self.store.post(message).result())


def a_reference_has_the_types_of_its_executor() -> None:
    with Far.executor() as far, Counter.executor() as counter:
        ref = far.ref()
        assert_type(ref, ActorRef[str, bytes])
        assert_type(ref.post("a"), ActorFuture[bytes])
        assert_type(ref.submit(len, "a"), ActorFuture[int])
        assert_type(ref.name, str)
        assert_type(ref.is_alive(), bool)
        Worker.executor(far)
        Worker.executor(ref)
        Worker.executor(counter)  # E
        ref.shutdown()  # E
        wider: ActorRef[str, object] = ref
        wider.tell("a")


class Counting(ThreadActor[int, Iterator[str]]):
    """Streams."""

    def handle(self, message: int) -> Generator[str, None, int]:
        yield from map(str, range(message))
        return message


async def a_stream_has_the_type_of_its_items() -> None:
    with Counting.executor() as counting, Counter.executor() as counter:
        with counting.stream(3, ahead=4) as numbers:
            assert_type(numbers, ActorStream[str])
            assert_type(next(numbers), str)
            assert_type(numbers.next(timeout=1), str)
        async with counting.ref().stream(3) as numbers:
            async for number in numbers:
                assert_type(number, str)
        counting.stream("3")  # E
        counting.stream(3, ahead="4")  # E
        counter.stream(3)  # E


def a_pool_has_the_types_of_its_actors() -> None:
    with Counter.pool(3, name="c").executor(1, step=2) as pool:
        assert_type(pool, ActorPool[int, int])
        assert_type(pool.post(1, key=("a", 2)), ActorFuture[int])
        assert_type(pool.keyed("a"), ActorRef[int, int])
        assert_type(pool.members, tuple[ActorRef[int, int], ...])
        assert_type(pool.broadcast(1), list[ActorFuture[int]])
        for answer in pool.imap([1, 2], buffersize=4):
            assert_type(answer, int)
        wider: ActorRef[int, object] = pool
        wider.tell(1)
        pool.post("1", key="a")  # E
        pool.post(1, key=[])  # E
        pool.imap(["1"])  # E
        pool.keyed("a").tell("1")  # E
    Counter.pool(2).executor("1")  # E
    Counter.pool("2")  # E
    Counter.pool(2, max_restarts=3)  # E
    Counter.pool(size=2)  # E
    Far.pool(2, max_restarts=3, restart_window=60)


def what_a_thread_actor_cannot_be_told() -> None:
    Counter.options(loop_factory=3)  # E
    Counter.options(max_concurrency="3")  # E
    Counter.options(start_method=None, max_restarts=0)  # E
