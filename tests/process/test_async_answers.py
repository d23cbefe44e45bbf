"""The answers of an async actor do not wait for its other messages, whatever those do."""

import os

import pytest

import asynchronous
from futures_actors import ActorDied
from gates import PATIENCE


@pytest.fixture(params=asynchronous.LOOP_FACTORIES.values(), ids=asynchronous.LOOP_FACTORIES)
def loop_factory(request):
    return request.param


@pytest.fixture(params=[1, 8, 64], ids="{} at a time".format)
def options(request, loop_factory):
    """Options of an async actor: messages are handled in a row, or begin together."""
    named = {} if loop_factory is None else {"loop_factory": loop_factory}
    return {"max_concurrency": request.param, **named}


async def echo(_actor, value):
    return value


def end_process(_actor):
    os._exit(3)


@pytest.mark.parametrize("kind", [asynchronous.ThreadAwaits, asynchronous.ProcessAwaits])
def test_an_answer_does_not_wait_for_a_message_that_blocks(kind, options, gates):
    first, second = gates(), gates()
    with kind.options(**options).executor() as executor:
        messages = [*[(echo, number) for number in range(3)], (asynchronous.hold, second)]
        *quick, slow = asynchronous.post_behind(executor, first, messages)
        assert [future.result(PATIENCE) for future in quick] == [0, 1, 2]
        assert not slow.done()
        second.open()
        assert slow.result(PATIENCE) is None


def test_messages_that_have_answered_keep_their_answers_if_the_process_dies(options, gate):
    with asynchronous.ProcessAwaits.options(**options).executor() as executor:
        messages = [*[(echo, number) for number in range(40)], (end_process,)]
        *quick, last = asynchronous.post_behind(executor, gate, messages)
        assert [future.result(PATIENCE) for future in quick] == list(range(40))
        error = last.exception(PATIENCE)
    assert isinstance(error, ActorDied)
    assert error.started
