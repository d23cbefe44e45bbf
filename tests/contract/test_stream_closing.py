"""Streams: closing one ends its generator, before it begins or at its next `yield`."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import CancelledError

import pytest

import actors
import observe
import programs
import streaming
import tasks
from futures_actors import _stream
from gates import PATIENCE


def close(stream):
    stream.close()


def leave(stream):
    with stream:
        pass


def ask(stream):
    assert stream.future.request_cancel()


def leave_async(stream):
    async def main():
        async with stream:
            pass

    asyncio.run(main())


@pytest.mark.parametrize("end", [close, leave, ask, leave_async])
def test_closing_ends_the_generator_at_its_next_yield(stream_kind, tmp_path, end):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.endless, str(log)))
        assert next(stream) == 0
        end(stream)
        assert list(stream) == []
        programs.wait_until(stream.future.done)
        assert stream.future.cancelled()
        assert streaming.lines(log)[-1] == "ended"
        stream.close()
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_dropping_a_stream_ends_the_generator(stream_kind, tmp_path):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        future = executor.stream((streaming.endless, str(log))).future
        gc.collect()
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
        for number in executor.stream((streaming.endless, str(log))):
            if number == 5:
                break
        programs.wait_until(lambda: streaming.lines(log)[-1:] == ["ended"])
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"


def test_a_generator_that_waits_elsewhere_is_closed_at_its_next_yield(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        # It waits for room at its second `yield`, however long the news takes to get there.
        stream = executor.stream((streaming.waits, gate), ahead=1)
        assert next(stream) == "first"
        gate.reached()
        stream.close()
        assert not stream.future.done()
        assert list(stream) == []
        gate.open()
        with pytest.raises(CancelledError):
            stream.future.result(PATIENCE)


@pytest.mark.parametrize("end", [close, leave, ask])
def test_a_stream_that_was_closed_before_its_turn_never_begins(stream_kind, gate, tmp_path, end):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        stream = executor.stream((streaming.endless, str(log)))
        end(stream)
        assert stream.future.cancelled()
        assert list(stream) == []
        gate.open()
        assert executor.post((tasks.echo, 1)).result(PATIENCE) == 1
        assert not log.exists()


def test_a_stream_whose_message_was_cancelled_raises_that_once(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        stream = executor.stream((streaming.endless,))
        assert stream.future.cancel()
        with pytest.raises(CancelledError):
            next(stream)
        assert list(stream) == []
        gate.open()


def test_closing_wakes_a_thread_that_waits_for_an_item(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.waits, gate))
        assert next(stream) == "first"
        gate.reached()
        ended = []
        thread = threading.Thread(target=lambda: ended.append(list(stream)))
        thread.start()
        stream.close()
        thread.join(PATIENCE)
        assert ended == [[]]
        gate.open()


def test_what_a_closed_generator_returns_or_raises_is_its_outcome(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.returns_when_closed,), ahead=1)
        assert next(stream) == 1
        stream.close()
        assert stream.future.result(PATIENCE) == "partial"
        stream = executor.stream((streaming.raises_when_closed,), ahead=1)
        assert next(stream) == 1
        stream.close()
        with pytest.raises(ValueError, match="cleaning up failed"):
            stream.future.result(PATIENCE)
        assert list(stream) == []


def test_a_generator_that_ignores_its_end_is_ended_for_good_and_logged(
    stream_kind, tmp_path, caplog
):
    log = tmp_path / "log"
    with stream_kind.start(actors.Do) as executor:
        with executor.stream((streaming.ignores_the_end, str(log))) as stream:
            next(stream)
        with pytest.raises(CancelledError):
            stream.future.result(PATIENCE)
        programs.wait_until(lambda: "ignored GeneratorExit" in caplog.text)
        said = len(streaming.lines(log))
        assert executor.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"
        assert len(streaming.lines(log)) == said


def test_a_stream_that_has_ended_keeps_its_items_until_it_is_closed(stream_kind):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.numbers, 5, "answer"))
        assert stream.future.result(PATIENCE) == "answer"
        assert next(stream) == 0
        stream.close()
        assert list(stream) == []
        assert stream.future.result() == "answer"


def test_a_handler_sees_that_its_stream_was_closed(stream_kind, gate):
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.asks, gate), ahead=1)
        assert next(stream) is False
        gate.reached()
        assert stream.future.request_cancel()
        assert stream.future.request_cancel()
        gate.open()
        programs.wait_until(stream.future.done)
        assert stream.future.cancelled()
        assert not stream.future.request_cancel()


def test_a_stream_that_was_asked_to_stop_has_no_more_items(stream_kind):
    """Also if its generator ends at the same moment. One that has ended keeps its items."""
    with stream_kind.start(actors.Do) as executor:
        for attempt in range(100):
            count = 20 + attempt
            stream = executor.stream((streaming.numbers, count), ahead=1_000)
            taken = [next(stream) for _ in range(attempt % 20)]
            if stream.future.request_cancel():
                assert list(stream) == []
            else:
                assert taken + list(stream) == list(range(count))


def test_after_the_with_block_the_future_says_how_the_generator_has_ended(stream_kind, monkeypatch):
    monkeypatch.setattr(_stream, "_GRACE", PATIENCE)
    with stream_kind.start(actors.Do) as executor:
        with executor.stream((streaming.endless,)) as stream:
            for number in stream:
                if number == 3:
                    break
        assert stream.future.cancelled()

        async def main():
            async with executor.stream((streaming.endless,)) as stream:
                async for number in stream:
                    if number == 3:
                        break
            assert stream.future.cancelled()

        asyncio.run(main())


@pytest.mark.parametrize("way", ["with", "async with"])
def test_the_with_block_does_not_wait_long_for_a_generator_that_goes_on(
    stream_kind, gate, way, monkeypatch
):
    monkeypatch.setattr(_stream, "_GRACE", 0.01)
    with stream_kind.start(actors.Do) as executor:
        stream = executor.stream((streaming.waits, gate), ahead=1)

        def with_block():
            with stream:
                take_first()

        async def async_with_block():
            async with stream:
                take_first()

        def take_first():
            assert next(stream) == "first"
            gate.reached()

        if way == "with":
            with_block()
        else:
            asyncio.run(async_with_block())
        assert not stream.future.done()
        gate.open()
        with pytest.raises(CancelledError):
            stream.future.result(PATIENCE)


def test_the_with_block_waits_neither_after_an_exception_nor_in_an_event_loop(
    stream_kind, gates, monkeypatch
):
    monkeypatch.setattr(_stream, "_GRACE", 3600)
    with stream_kind.start(actors.Do) as executor:

        def leave_by_an_error(stream, gate):
            with pytest.raises(KeyError), stream:
                assert next(stream) == "first"
                gate.reached()
                raise KeyError

        async def leave_in_a_loop(stream, gate):
            with stream:
                assert next(stream) == "first"
                gate.reached()

        for way in (leave_by_an_error, lambda *of: asyncio.run(leave_in_a_loop(*of))):
            gate = gates()
            stream = executor.stream((streaming.waits, gate), ahead=1)
            way(stream, gate)
            assert not stream.future.done()
            gate.open()
            with pytest.raises(CancelledError):
                stream.future.result(PATIENCE)


def yields_things(actor, seen):
    while True:
        thing = observe.Thing()
        seen.append(weakref.ref(thing))
        yield thing


def test_items_that_nobody_took_are_let_go_when_the_stream_is_closed(thread_kind):
    seen = []
    with thread_kind.start(actors.Do) as executor:
        stream = executor.stream((yields_things, seen), ahead=5)
        taken = next(stream)
        programs.wait_until(lambda: len(seen) == 6)
        assert seen[0]() is taken
        stream.close()
        programs.wait_until(stream.future.done)
        del taken
        assert observe.is_collected(*seen)
