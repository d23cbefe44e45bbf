"""What every actor does, whatever it runs on: construction, answers, order, state, and the actor
itself as a message or an answer."""

import threading
from concurrent import futures

import pytest

import actors
import tasks
from futures_actors import ActorInitError
from gates import PATIENCE


def test_executor_constructs_and_handle_answers(any_kind):
    with any_kind.start(actors.Counter) as executor:
        assert executor.post(2).result(PATIENCE) == 2
        assert executor.post(40).result(PATIENCE) == 42


def test_every_argument_goes_to_the_constructor(any_kind):
    with any_kind.start(actors.Counter, 10, step=3) as executor:
        assert executor.post(2).result(PATIENCE) == 16


def test_no_keyword_is_reserved(kind):
    names = """self cls klass actor actor_class args kw kwargs fn func function message name
        timeout wait options max_workers initializer initargs mp_context start_method
        mailbox_size max_restarts daemon context target"""
    keywords = {name: number for number, name in enumerate(names.split())}
    with kind.start(actors.Arguments, "one", 2, **keywords) as executor:
        assert executor.post(None).result(PATIENCE) == (("one", 2), keywords)


def test_an_actor_is_constructed_before_anything_is_posted(kind, gate):
    executor = kind.start(actors.Waits, gate)
    gate.reached()
    gate.open()
    executor.shutdown()


def test_executor_does_not_wait_for_the_constructor(kind, gate):
    with kind.start(actors.Waits, gate) as executor:
        future = executor.post("early")
        gate.reached()
        assert not future.done()
        gate.open()
        assert future.result(PATIENCE) == "early"


@pytest.mark.not_on_ray("its process gets its environment from its node, not from this program")
def test_an_actor_without_arguments_is_constructed_before_anything_is_posted(
    kind, tmp_path, monkeypatch
):
    path = tmp_path / "born"
    monkeypatch.setenv("BIRTH_CERTIFICATE", str(path))
    with kind.start(actors.WritesAtBirth):
        pass
    assert path.read_text() == "born"


def test_a_class_without_a_constructor_takes_no_arguments(kind):
    with kind.start(actors.Echo, 1) as executor, pytest.raises(ActorInitError) as caught:
        executor.post(None).result(PATIENCE)  # `post` says it if the constructor was quick
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    ("body", "answer"),
    [(actors.SaysHandles, ("handles", 7)), (actors.SaysBoth, ("handle", 7))],
    ids=["handles", "both"],
)
def test_handles_answers_where_there_is_no_handle(kind, body, answer):
    with kind.start(body) as executor:
        assert executor.post(7).result(PATIENCE) == answer


@pytest.mark.parametrize(
    "body", [actors.SaysNothing, actors.AsksItsBase], ids=["no handle", "super"]
)
def test_an_actor_without_handle_says_so_on_the_future(kind, body):
    with kind.start(body) as executor:
        for _ in range(2):
            error = executor.post(7).exception(PATIENCE)
            assert type(error) is NotImplementedError
            assert str(error) == "must implement message handler"


@pytest.mark.parametrize(
    "message",
    [None, 0, "", b"", (), {}, [1, "two", 3.0], "\N{SNOWMAN}" * 1000, 1 << 200, float("inf")],
)
def test_any_message_is_a_message(any_kind, message):
    with any_kind.start(actors.Echo) as executor:
        assert executor.post(message).result(PATIENCE) == message


def test_messages_are_handled_in_the_order_they_were_posted(any_kind):
    with any_kind.start(actors.Do) as executor:
        answers = [executor.post((tasks.remember, number)) for number in range(500)]
        assert [answer.result(PATIENCE) for answer in answers] == list(range(1, 501))
        assert executor.post((tasks.recall,)).result(PATIENCE) == list(range(500))


def test_each_posting_thread_keeps_its_order(any_kind):
    with any_kind.start(actors.Do) as executor:

        def post_all(poster):
            for number in range(100):
                executor.post((tasks.remember, (poster, number)))

        posters = [threading.Thread(target=post_all, args=(poster,)) for poster in range(6)]
        for poster in posters:
            poster.start()
        for poster in posters:
            poster.join(PATIENCE)
        log = executor.post((tasks.recall,)).result(PATIENCE)
    assert len(log) == 600
    for poster in range(6):
        assert [number for who, number in log if who == poster] == list(range(100))


def test_one_message_is_handled_at_a_time_and_by_one_thread(any_kind):
    with any_kind.start(actors.AloneInside) as executor:
        posters = [
            threading.Thread(target=lambda: [executor.post(None) for _ in range(50)])
            for _ in range(6)
        ]
        for poster in posters:
            poster.start()
        for poster in posters:
            poster.join(PATIENCE)
        assert executor.post("report").result(PATIENCE) == (1, 1)


def test_an_actor_lives_in_one_thread_from_birth_to_death(thread):
    log = []
    executor = thread.start(actors.Remembers, log)
    executor.post(None).result(PATIENCE)
    executor.shutdown()
    assert [event for event, _ in log] == ["init", "handle", "del"]
    assert len({where for _, where in log} - {threading.get_ident()}) == 1


def test_two_actors_share_nothing(kind):
    with kind.start(actors.Counter) as one, kind.start(actors.Counter, 100) as other:
        assert one.post(1).result(PATIENCE) == 1
        assert other.post(1).result(PATIENCE) == 101
        assert one.post(1).result(PATIENCE) == 2


def test_two_actors_work_at_the_same_time(kind, gates):
    first, second = gates(), gates()
    with kind.start(actors.Do) as one, kind.start(actors.Do) as other:
        waiting = [one.post((tasks.pause, first)), other.post((tasks.pause, second))]
        first.reached()
        second.reached()
        first.open()
        second.open()
        assert [answer.result(PATIENCE) for answer in waiting] == ["passed"] * 2


def test_an_answer_does_not_wait_for_the_next_message(any_kind, gate):
    with any_kind.start(actors.Do) as executor:
        answer = executor.post((tasks.echo, "early"))
        waiting = executor.post((tasks.pause, gate))
        assert answer.result(PATIENCE / 4) == "early"
        assert not waiting.done()
        gate.open()


def test_an_answer_does_not_wait_for_a_handle_that_holds_the_interpreter(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        answer = executor.post((tasks.echo, "early"))
        waiting = executor.post((tasks.nap_in_c, 2))
        gate.open()
        assert answer.result(PATIENCE) == "early"
        assert not waiting.done()


def test_a_thread_actor_gets_the_very_object(thread):
    message = object()
    with thread.start(actors.Echo) as executor:
        assert executor.post(message).result(PATIENCE) is message


def test_a_message_is_pickled_when_it_is_posted(process, gate):
    message = ["before"]
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        answer = executor.post((tasks.echo, message))
        message.append("after")
        gate.open()
        assert answer.result(PATIENCE) == ["before"]


def test_an_actor_can_be_the_answer(kind):
    with kind.start(actors.Itself, "b") as executor:
        answer = executor.post(None).result(PATIENCE)
        assert type(answer) is kind.actor(actors.Itself)
        assert vars(answer) == {"name": "b"}
        assert kind.is_async or answer.handle(5) == 5


def test_an_actor_can_be_a_message(kind):
    sent = kind.actor(actors.Itself)("c")
    with kind.start(actors.Itself) as executor:
        back = executor.post(sent).result(PATIENCE)
        assert type(back) is type(sent)
        assert back.name == "c"


def test_an_actor_holds_only_what_its_class_put_there(kind):
    with kind.start(actors.Do) as executor:
        assert executor.post((tasks.attributes,)).result(PATIENCE) == ["log"]


def test_class_attributes_of_the_parent_survive_an_answer_that_is_an_actor(kind):
    cls = kind.actor(actors.Itself)
    with kind.start(actors.Itself) as executor:
        cls.kept = "changed in the parent"
        try:
            answer = executor.post(None).result(PATIENCE)
            assert answer.kept == "changed in the parent"
        finally:
            del cls.kept


def test_an_actor_can_have_actors_of_its_own(kind, process):
    inner = process.actor(actors.Counter)
    with kind.start(actors.StartsOthers, inner, 5) as executor:
        assert executor.post(1).result(PATIENCE) == 6
        assert executor.post(1).result(PATIENCE) == 7


def test_a_process_actor_can_have_a_thread_actor(process, thread):
    with process.start(actors.StartsOthers, thread.actor(actors.Counter), 5) as executor:
        assert executor.post(1).result(PATIENCE) == 6


def test_handle_can_post_to_another_actor(kind, thread):
    """The actor that posts is a thread actor, since an executor cannot be sent to a process."""
    with kind.start(actors.Counter) as counter, thread.start(actors.Do) as executor:
        answer = executor.post((tasks.post_to, counter, 3))
        assert answer.result(PATIENCE) == 3


def test_a_thread_actor_can_post_to_itself(thread):
    with thread.start(actors.Do) as executor:
        posted = executor.post((tasks.call, executor.post, (tasks.echo, "later")))
        assert posted.result(PATIENCE).result(PATIENCE) == "later"


def test_a_megabyte_goes_both_ways_many_times_over(any_kind):
    """More is under way in each direction than pipes hold."""
    message = bytes(1 << 20)
    with any_kind.start(actors.Echo) as executor:
        answers = [executor.post(message) for _ in range(20)]
        assert all(answer.result(PATIENCE) == message for answer in answers)


def test_a_big_message_arrives_whole(any_kind):
    message = bytes(range(256)) * (1 << 17)
    with any_kind.start(actors.Echo) as executor:
        assert executor.post(message).result(PATIENCE) == message


def test_thousands_of_messages_wait_their_turn(kind, gate):
    with kind.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        answers = [executor.post((tasks.echo, number)) for number in range(5000)]
        gate.open()
        futures.wait(answers, PATIENCE)
        assert [answer.result(0) for answer in answers] == list(range(5000))
