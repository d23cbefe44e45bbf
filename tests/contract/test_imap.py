"""`imap` and `imap_unordered`: answers as they are taken, with so many messages ahead, no more."""

import asyncio
import gc
import itertools
import queue
import threading
import time
from concurrent import futures

import pytest

import actors
import futures_actors
import programs
import tasks
from futures_actors import MailboxFull
from gates import PATIENCE
from messages import Messages, echoes


def test_imap_gives_answers_in_order(kind):
    with kind.start(actors.Do) as executor:
        answers = executor.imap(echoes(range(500)), timeout=PATIENCE)
        assert iter(answers) is answers
        assert list(answers) == list(range(500))
        assert list(answers) == []


def test_imap_unordered_gives_each_answer_once(kind):
    with kind.start(actors.Do) as executor:
        answers = executor.imap_unordered(echoes(range(500)), timeout=PATIENCE)
        assert sorted(answers) == list(range(500))
        assert next(answers, "end") == "end"


def test_no_message_gives_no_answer(kind, imap):
    with kind.start(actors.Do) as executor:
        assert list(getattr(executor, imap)([])) == []


@pytest.mark.parametrize("buffersize", [1, 2, 7, None])
def test_it_reads_and_posts_one_message_more_for_each_answer(kind, imap, buffersize):
    most = 64 if buffersize is None else buffersize
    messages = Messages(echoes(itertools.count()))
    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)(messages, buffersize=buffersize, timeout=PATIENCE)
        assert messages.read == most
        for taken in range(1, 300):
            assert next(answers) == taken - 1
            assert messages.read == most + taken
        answers.close()
        assert executor.stats().handled + executor.stats().cancelled <= messages.read


def test_the_messages_ahead_are_handled_before_an_answer_is_taken(kind, imap, tmp_path):
    path = tmp_path / "handled"
    messages = [(tasks.append_to, path, f"{number} ") for number in range(9)]
    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)(messages, buffersize=3, timeout=PATIENCE)
        programs.wait_until(lambda: path.exists() and path.read_text() == "0 1 2 ")
        assert len(list(answers)) == 9


def test_an_exception_is_raised_in_its_place_and_the_iterator_goes_on(kind, imap):
    messages = [(tasks.echo, 1), (tasks.fail, KeyError("two")), (tasks.echo, 3)]
    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)(messages, timeout=PATIENCE)
        assert next(answers) == 1
        with pytest.raises(KeyError, match="two"):
            next(answers)
        assert list(answers) == [3]


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, futures.TimeoutError])
def test_no_exception_of_a_handler_ends_the_iteration(kind, imap, error):
    if kind.is_async and error is StopIteration:
        pytest.skip("Python makes it a RuntimeError when a coroutine raises it")

    async def collect(answers):
        got = []
        while True:
            try:
                got.append(await answers.__anext__())
            except StopAsyncIteration:
                return got
            except Exception as caught:
                got.append(type(caught))

    messages = [(tasks.echo, 1), (tasks.fail, error()), (tasks.echo, 3)]
    expected = RuntimeError if "Stop" in error.__name__ else error
    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)(messages)
        assert next(answers) == 1
        with pytest.raises(expected) as caught:
            next(answers)
        if expected is RuntimeError:
            assert type(caught.value.__cause__) is error
        assert list(answers) == [3]
        answers = getattr(executor, imap)(messages)
        assert asyncio.run(collect(answers)) == [1, expected, 3]


def test_answers_that_are_ready_are_given_out_before_a_slow_one(thread, gates):
    gates = [gates() for _ in range(3)]
    with thread.start(actors.Do) as executor, thread.start(actors.Do) as other:

        class Both(futures_actors.ActorExecutor):
            """Sends every other message to the other actor, as a pool might."""

            turn = itertools.cycle([executor, other])

            def post(self, message, *, timeout=None):
                return next(self.turn).post(message, timeout=timeout)

        messages = [(tasks.pause_and_remember, gates[0], 0), (tasks.echo, 1), (tasks.echo, 2)]
        answers = Both().imap_unordered(messages, timeout=PATIENCE)
        assert next(answers) == 1
        gates[0].open()
        assert sorted(answers) == [1, 2]


def test_timeout_counts_from_the_call(kind, imap, gate):
    messages = Messages([(tasks.echo, 1), (tasks.pause, gate), *echoes([2, 3])])
    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)(messages, timeout=0.2, buffersize=3)
        gate.reached()
        programs.wait_until(lambda: executor.stats().handled == 1)
        time.sleep(0.25)
        # It is there, so there is no wait.
        assert next(answers) == 1
        with pytest.raises(futures.TimeoutError):
            next(answers)
        # What had not begun is cancelled.
        assert list(answers) == []
        assert executor.stats().cancelled == 2
        gate.open()


def test_timeout_ends_a_wait(kind, imap, gate):
    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)([(tasks.pause, gate)], timeout=0.05)
        with pytest.raises(futures.TimeoutError):
            next(answers)
        gate.open()


def test_a_closed_iterator_cancels_what_has_not_begun(kind, imap, gate):
    with kind.start(actors.Do) as executor:
        messages = [(tasks.pause, gate), *echoes(range(5))]
        with getattr(executor, imap)(messages) as answers:
            gate.reached()
        assert executor.stats().cancelled == 5
        answers.close()
        assert next(answers, "end") == "end"
        gate.open()
    assert executor.stats().handled == 1


def test_a_dropped_iterator_cancels_what_has_not_begun(kind, imap, gate):
    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)([(tasks.pause, gate), *echoes(range(5))])
        gate.reached()
        del answers
        gc.collect()
        assert executor.stats().cancelled == 5
        gate.open()


def test_a_loop_that_is_left_cancels_what_has_not_begun(kind, imap, gate):
    with kind.start(actors.Do) as executor:
        messages = [(tasks.echo, 0), (tasks.pause, gate), *echoes(range(5))]
        for answer in getattr(executor, imap)(messages, timeout=PATIENCE):
            assert answer == 0
            gate.reached()
            break
        gc.collect()
        assert executor.stats().cancelled == 5
        gate.open()


def test_an_iterator_keeps_its_actor(kind, imap):
    answers = getattr(kind.start(actors.Do), imap)(echoes(range(100)), buffersize=3)
    gc.collect()
    assert sorted(answers) == list(range(100))


def test_it_never_waits_for_room_while_an_answer_is_ready(kind, imap, gates):
    first, second = gates(), gates()
    bounded = kind.actor(actors.Do).options(mailbox_size=2).executor()
    with bounded as executor:
        pauses = [(tasks.pause_and_remember, gate, 0) for gate in (first, second)]
        messages = Messages([*pauses, *echoes(range(10))])
        answers = getattr(executor, imap)(messages, timeout=PATIENCE)
        first.reached()
        # The call has not waited, although the mailbox is full. It holds one message.
        assert messages.read <= 4
        first.open()
        second.reached()
        assert next(answers) == 1
        assert executor.stats().depth == 2
        second.open()
        assert sorted(answers) == sorted([2, *range(10)])


def test_it_waits_for_room_if_no_answer_is_to_come(kind, imap, gate):
    bounded = kind.actor(actors.Do).options(mailbox_size=1).executor()
    with bounded as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        others = executor.post((tasks.echo, "others"))
        answers = getattr(executor, imap)(echoes(range(20)), timeout=PATIENCE)
        thread = threading.Timer(0.05, gate.open)
        thread.start()
        assert list(answers) == list(range(20))
        thread.join()
        assert others.result(PATIENCE) == "others"


def test_a_wait_for_room_times_out_and_gives_up_its_turn(kind, imap, gate):
    bounded = kind.actor(actors.Do).options(mailbox_size=1).executor()
    with bounded as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        waiting = executor.post((tasks.echo, "others"))
        answers = getattr(executor, imap)(echoes(range(20)), timeout=0.05)
        with pytest.raises(futures.TimeoutError):
            next(answers)
        gate.open()
        assert waiting.result(PATIENCE) == "others"
        for number in range(10):
            assert executor.post((tasks.echo, number)).result(PATIENCE) == number
    assert executor.stats().cancelled == 0


def test_a_mailbox_with_a_bound_is_no_reason_for_less_answers(kind, imap):
    bounded = kind.actor(actors.Do).options(mailbox_size=3).executor()
    with bounded as executor:
        others = [executor.imap(echoes(range(100)), timeout=PATIENCE) for _ in range(3)]
        collected = [[] for _ in others]

        def collect(answers, into):
            into.extend(answers)

        threads = [
            threading.Thread(target=collect, args=pair)
            for pair in zip(others, collected, strict=True)
        ]
        for one in threads:
            one.start()
        mine = getattr(executor, imap)(echoes(range(100)), timeout=PATIENCE)
        assert sorted(mine) == list(range(100))
        for one in threads:
            one.join()
        assert collected == [list(range(100))] * 3


def test_messages_that_cannot_be_read_on_end_it_after_the_answers_before(kind, imap):
    def messages():
        yield from echoes(range(3))
        raise ZeroDivisionError("no fourth")

    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)(messages(), timeout=PATIENCE)
        assert [next(answers) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ZeroDivisionError, match="no fourth"):
            next(answers)
        assert list(answers) == []


def test_messages_that_are_refused_end_it_after_the_answers_before(kind, imap):
    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)(echoes(range(100)), buffersize=5, timeout=PATIENCE)
        executor.shutdown(wait=False)
        assert [next(answers) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(RuntimeError, match="after shutdown"):
            next(answers)
        assert list(answers) == []
        with pytest.raises(RuntimeError, match="after shutdown"):
            getattr(executor, imap)([1])


def test_a_message_that_cannot_be_pickled_fails_in_its_place(process, imap):
    messages = [(tasks.echo, 0), (tasks.echo, threading.Lock()), (tasks.echo, 2)]
    with process.start(actors.Do) as executor:
        answers = getattr(executor, imap)(messages, timeout=PATIENCE)
        got = []
        for _ in messages:
            try:
                got.append(next(answers))
            except TypeError as error:
                got.append(type(error))
        assert sorted(map(str, got)) == sorted(["0", str(TypeError), "2"])
        assert list(answers) == []


def test_an_actor_that_dies_fails_what_was_ahead_and_then_refuses(process, imap):
    begin = [(tasks.echo, 0), (tasks.exit_at_once, 3)]
    messages = itertools.chain(begin, echoes(itertools.count()))
    with process.start(actors.Do) as executor:
        answers = getattr(executor, imap)(messages, buffersize=4, timeout=PATIENCE)
        assert next(answers) == 0
        died = 0
        while True:
            try:
                next(answers)
            except StopIteration:
                break
            except futures_actors.ActorDied:
                died += 1
        # The message, those behind it, and the refusal of the next one.
        assert 4 <= died <= 5


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "7"])
def test_a_bad_buffersize_is_refused(thread, imap, bad):
    with (
        thread.start(actors.Do) as executor,
        pytest.raises((TypeError, ValueError), match="buffersize must"),
    ):
        getattr(executor, imap)([], buffersize=bad)


@pytest.mark.parametrize("bad", [{"timeout": "1"}, {"timeout": 1j}, {"chunksize": 1}])
def test_other_bad_arguments_are_type_errors(thread, imap, bad):
    with thread.start(actors.Do) as executor, pytest.raises(TypeError):
        getattr(executor, imap)([], **bad)


def test_a_timeout_that_is_not_a_number_is_refused_as_that_of_post(thread, imap):
    with thread.start(actors.Do) as executor:
        for ask in (executor.post, getattr(executor, imap)):
            with pytest.raises(ValueError, match="timeout must be a number of seconds, not nan"):
                ask([], timeout=float("nan"))


def test_messages_must_be_iterable(thread, imap):
    with thread.start(actors.Do) as executor, pytest.raises(TypeError, match="iterable"):
        getattr(executor, imap)(5)


def test_threads_share_the_answers(kind, imap):
    taken = queue.Queue()

    def take(answers):
        for answer in answers:
            taken.put(answer)

    with kind.start(actors.Do) as executor:
        answers = getattr(executor, imap)(echoes(range(1000)), buffersize=9, timeout=PATIENCE)
        threads = [threading.Thread(target=take, args=(answers,)) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(PATIENCE)
        assert sorted(taken.queue) == list(range(1000))


def test_closing_ends_the_wait_of_another_thread(kind, imap, gate):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        gate.reached()
        answers = getattr(executor, imap)(echoes(range(3)))
        taken = []
        thread = threading.Thread(target=lambda: taken.extend(answers))
        thread.start()
        answers.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert taken == []
        gate.open()


def test_answers_are_not_kept(thread, imap):
    import weakref

    with thread.start(actors.Do) as executor:
        answers = getattr(executor, imap)([(make_object,)] * 3, timeout=PATIENCE)
        for answer in answers:
            seen = weakref.ref(answer)
            del answer
            gc.collect()
            assert seen() is None


def make_object(actor):
    return Holder()


class Holder:
    pass


def test_a_full_mailbox_is_still_an_error_for_the_actor_itself(thread):
    """An actor that waited for room in its own mailbox would wait for ever."""

    def ask(actor, executor):
        return list(executor.imap(echoes(range(5)), timeout=PATIENCE))

    with thread.actor(actors.Do).options(mailbox_size=1).executor() as executor:
        future = executor.post((ask, executor))
        with pytest.raises((MailboxFull, RuntimeError, futures.TimeoutError)):
            future.result(PATIENCE)
