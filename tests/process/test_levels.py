"""An actor that a process actor starts is of another level than the program's actors. References do
not cross levels, and whichever way they are sent, the error says who can refer to whom."""

import pytest

import actors
import tasks
from futures_actors import ActorRef, current_actor
from gates import PATIENCE


def why_not(send, *args):
    """Return why something cannot be sent."""
    try:
        sent = send(*args)
        if sent is not None:
            sent.result(PATIENCE)
    except TypeError as error:
        assert type(error) is TypeError
        return str(error)
    return None


def construct(_inner, ref):
    with actors.ProcessHolder.executor(ref) as other:
        return other.post((tasks.recall,))


def post_closure(inner, ref):
    return inner.submit(lambda: ref)


def stream(inner, ref):
    return inner.stream((tasks.echo, ref)).future


#: Each sends a reference to an actor.
WAYS = {
    "constructor argument": construct,
    "message": lambda inner, ref: inner.post((tasks.echo, ref)),
    "deep in a message": lambda inner, ref: inner.post((tasks.echo, {"deep": [(ref,)]})),
    "told": lambda inner, ref: inner.tell((tasks.echo, ref)),
    "closure": post_closure,
    "argument of a function": lambda inner, ref: inner.submit(repr, ref),
    "argument of a method": lambda inner, ref: inner.proxy().handle((tasks.echo, ref)),
    "message of a stream": stream,
}


@pytest.fixture
def outer(process):
    with process.actor(actors.Do).options(name="outer").executor() as executor:
        yield executor


@pytest.fixture(params=["thread", "process"])
def of_program(request):
    kind = request.getfixturevalue(request.param)
    with kind.actor(actors.Do).options(name="of program").executor() as executor:
        yield executor


# Down.


def send_down(_actor, way, ref=None):
    """Send a reference to an actor that this actor starts."""
    ref = current_actor() if ref is None else ref
    with actors.ProcessDo.executor() as inner:
        why = why_not(WAYS[way], inner, ref)
        assert inner.post((tasks.echo, "lives on")).result(PATIENCE) == "lives on"
        return why


def check_down(why, name):
    assert f"cannot be pickled: a reference to actor {name} cannot go to an actor that this" in why
    assert f"only the process that started {name}, and the actors which that process star" in why
    assert why.endswith(f"let an actor of this process post its messages to {name}")


@pytest.mark.parametrize("way", WAYS)
def test_a_reference_of_the_program_does_not_go_down(outer, of_program, way):
    check_down(outer.post((send_down, way, of_program)).result(PATIENCE), "of program")


@pytest.mark.parametrize("way", WAYS)
def test_a_reference_of_an_actor_to_itself_does_not_go_down(outer, way):
    check_down(outer.post((send_down, way)).result(PATIENCE), "outer")


# Up.


def start_inner(actor):
    actor.inner = actors.ProcessDo.options(name="inner").executor()
    return actor.inner


def give(actor, how):
    inner = start_inner(actor)
    return {"executor": inner, "reference": inner.ref(), "deep": [{"in": inner}]}.get(
        how, lambda: inner
    )


def yield_inner(actor):
    yield start_inner(actor)


def send_up(actor, way, ref):
    """Send an actor of the program a reference to an actor that this actor has started."""
    return why_not(WAYS[way], ref, start_inner(actor))


def check_up(why):
    assert "cannot be pickled: a reference to actor inner cannot leave this process" in why
    assert "only this process, and the actors which it started, can refer to it." in why
    assert why.endswith("or let an actor of this process post messages to inner")


@pytest.mark.parametrize("how", ["executor", "reference", "deep", "closure"])
def test_a_reference_does_not_go_up_in_an_answer(outer, how):
    check_up(why_not(outer.post, (give, how)))


def test_a_reference_does_not_go_up_as_an_item(outer):
    check_up(why_not(list, outer.stream((yield_inner,))))


# A constructor argument goes to an actor that is being started, which is never above.
@pytest.mark.parametrize("way", [way for way in WAYS if way != "constructor argument"])
def test_a_reference_does_not_go_up_in_a_message(outer, of_program, way):
    check_up(outer.post((send_up, way, of_program)).result(PATIENCE))


# What does work.


def let_inner_actors_talk(_actor, ref):
    """Have an inner process ask another one, and an inner thread ask an actor of the program."""
    with actors.ProcessDo.executor() as inner, actors.ProcessHolder.executor(inner) as other:
        answer = other.post((ask_held, "inner")).result(PATIENCE)
    with actors.ThreadHolder.executor(ref) as thread:
        return answer, thread.post((ask_held, "of program")).result(PATIENCE)


def ask_held(actor, message):
    assert type(actor.ref) is ActorRef
    return actor.ref.post((tasks.echo, message)).result(PATIENCE)


def test_actors_of_one_process_know_each_other_and_its_threads_what_it_knows(outer, of_program):
    answers = outer.post((let_inner_actors_talk, of_program)).result(PATIENCE)
    assert answers == ("inner", "of program")
