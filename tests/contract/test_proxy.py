"""`executor.proxy()`: method calls that are messages."""

import asyncio
import threading

import pytest

import actors
import futures_actors
import tasks
from gates import PATIENCE


def test_a_method_call_is_a_message_and_returns_its_future(kind):
    with kind.start(actors.Account, 10) as executor:
        account = executor.proxy()
        future = account.add(5, fee=1)
        assert type(future) is futures_actors.ActorFuture
        assert future.result(PATIENCE) == 14
        assert account.get().result(PATIENCE) == (14, {})


def test_calls_reserve_no_keyword(kind):
    keywords = {"name": 1, "args": 2, "kwargs": 3, "message": 4, "executor": 5}
    with kind.start(actors.Account) as executor:
        assert executor.proxy().get(**keywords).result(PATIENCE) == (0, keywords)


def test_what_a_method_raises_is_the_futures_and_the_actor_lives_on(kind):
    with kind.start(actors.Account, 3) as executor:
        account = executor.proxy()
        error = account.take(5).exception(PATIENCE)
        assert type(error) is ValueError
        assert "only 3" in str(error)
        assert account.take(2).result(PATIENCE) == 1


def test_wrong_arguments_fail_the_future(kind):
    with kind.start(actors.Account) as executor:
        error = executor.proxy().add().exception(PATIENCE)
        assert type(error) is TypeError
        assert "amount" in str(error)


def test_calls_posts_and_submissions_share_one_mailbox(kind, tmp_path):
    path = tmp_path / "order"
    with kind.start(actors.Do) as executor:
        do = executor.proxy()
        for number in range(0, 60, 3):
            executor.post((tasks.append_to, path, f"{number} "))
            do.handle((tasks.append_to, path, f"{number + 1} "))
            executor.submit(tasks.append_to, None, path, f"{number + 2} ")
    assert path.read_text().split() == [str(number) for number in range(60)]


def test_a_call_can_be_cancelled(kind, gate, tmp_path):
    path = tmp_path / "never"
    with kind.start(actors.Account) as executor:
        account = executor.proxy()
        account.call(gate.wait)
        gate.reached()
        future = account.call(path.touch)
        assert future.cancel()
        gate.open()
    assert not path.exists()


def test_a_call_can_be_awaited(kind):
    async def main(account):
        return await asyncio.gather(*(account.add(1) for _ in range(3)))

    with kind.start(actors.Account) as executor:
        assert asyncio.run(main(executor.proxy())) == [1, 2, 3]


def test_a_call_sends_what_only_cloudpickle_can(kind):
    power = 3
    with kind.start(actors.Account) as executor:
        called = executor.proxy().call(lambda base: base**power, 2)
        assert called.result(PATIENCE) == 8


def test_a_call_of_what_cannot_be_pickled_fails_the_future(process):
    with process.start(actors.Account) as executor:
        account = executor.proxy()
        assert isinstance(account.add(threading.Lock()).exception(PATIENCE), TypeError)
        assert account.add(1).result(PATIENCE) == 1


@pytest.mark.parametrize("name", ["_secret", "__len__", "__array__", "_executor_"])
def test_private_names_are_refused(kind, name):
    with kind.start(actors.Account) as executor:
        account = executor.proxy()
        with pytest.raises(AttributeError, match="private") as caught:
            getattr(account, name)
        assert caught.value.name == name
        assert not hasattr(account, name)


@pytest.mark.parametrize("name", ["ad", "balance", "currency", "is_empty", "executor", "options"])
def test_what_is_no_method_is_refused_with_those_there_are(kind, name):
    with kind.start(actors.Account) as executor:
        account = executor.proxy()
        with pytest.raises(AttributeError, match=f"{name}.*add, call, get, handle, take"):
            getattr(account, name)


def test_a_proxy_lists_the_methods(kind):
    with kind.start(actors.Account) as executor:
        account = executor.proxy()
        assert dir(account) == ["add", "call", "get", "handle", "take"]
        assert type(executor).__name__.removesuffix("ActorExecutor") in repr(account)


def test_a_proxy_keeps_its_actor(kind):
    account = kind.start(actors.Account).proxy()
    assert account.add(2).result(PATIENCE) == 2


def test_after_shutdown_calls_are_refused(kind):
    with kind.start(actors.Account) as executor:
        account = executor.proxy()
    with pytest.raises(RuntimeError, match="after shutdown"):
        account.add(1)


def test_a_call_outlives_neither_its_actor_nor_silence(process):
    import os

    with process.start(actors.Account) as executor:
        error = executor.proxy().call(os._exit, 3).exception(PATIENCE)
        assert isinstance(error, futures_actors.ActorDied)
        assert error.started
