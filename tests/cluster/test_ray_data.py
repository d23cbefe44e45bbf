"""What crosses to an actor on a Ray cluster and back: arrays, and references to Ray's
objects and actors."""

import gc
import threading
import weakref

import numpy as np
import pytest
import ray

import actors
import tasks
from gates import PATIENCE
from ray_actors import RayDo, RayEcho

MIB = 1 << 20


def is_writable(actor, array):
    return bool(array.flags.writeable)


def get_inside(actor, box):
    return ray.get(box["reference"])


def put_inside(actor, value):
    return {"reference": ray.put(value)}


def ask_inside(actor, box):
    return ray.get(box["handle"].double.remote(21))


@ray.remote(num_cpus=0)
class Doubler:
    def double(self, number):
        return 2 * number


def test_an_array_comes_back_whole_and_writable():
    array = np.arange(8 * MIB)
    with RayDo.executor() as executor:
        assert executor.post((is_writable, array)).result(PATIENCE) is True
        back = executor.post((tasks.echo, array)).result(PATIENCE)
        assert back.flags.writeable
        assert (back == array).all()


def test_what_crosses_is_let_go_at_once_on_both_sides():
    """If this had to wait for the garbage collector, arrays would pile up, and each copy would need
    fresh pages."""
    with RayDo.executor() as executor:
        executor.submit(gc.disable).result(PATIENCE)
        gc.disable()
        try:
            array = np.arange(MIB)
            kept = weakref.ref(array)
            back = executor.post((echo_and_watch, array)).result(PATIENCE)
            kept_back = weakref.ref(back)
            del array, back
            assert executor.post((is_watched_alive,)).result(PATIENCE) is False
            assert (kept(), kept_back()) == (None, None)
        finally:
            gc.enable()


def echo_and_watch(actor, array):
    actor.watched = weakref.ref(array)
    return array


def is_watched_alive(actor):
    return actor.watched() is not None


def test_an_array_keeps_its_layout():
    array = np.asfortranarray(np.arange(4 * MIB).reshape(2048, 2048))
    with RayDo.executor() as executor:
        for sent in (array, array[::2, ::3]):
            assert (executor.post((tasks.echo, sent)).result(PATIENCE) == sent).all()


def test_zero_copy_gives_read_only_views():
    array = np.arange(MIB)
    with RayDo.options(zero_copy=True).executor() as executor:
        assert executor.post((is_writable, array)).result(PATIENCE) is False
        back = executor.post((tasks.echo, array)).result(PATIENCE)
        assert not back.flags.writeable
        assert (back == array).all()


@pytest.mark.parametrize("size", [10, MIB])
def test_an_array_is_taken_as_it_is_when_it_is_posted(size, gate):
    array = np.zeros(size)
    with RayDo.executor() as executor:
        executor.post((tasks.pause, gate))
        future = executor.post((tasks.echo, array))
        array[:] = 1
        gate.reached()
        gate.open()
        assert not future.result(PATIENCE).any()


def test_references_to_rays_objects_and_actors_cross_both_ways():
    with RayDo.executor() as executor:
        future = executor.post((get_inside, {"reference": ray.put("there")}))
        assert future.result(PATIENCE) == "there"
        handle = Doubler.remote()
        assert executor.post((ask_inside, {"handle": handle})).result(PATIENCE) == 42
        box = executor.post((put_inside, "back")).result(PATIENCE)
        assert ray.get(box["reference"]) == "back"


def test_references_are_dropped_while_answers_arrive():
    """Ray has aborted the process for dropping a reference under its own callback."""
    with RayDo.options(window=16).executor() as executor:
        for _ in range(5):
            futures = [executor.post((put_inside, number)) for number in range(40)]
            for future in futures:
                future.result(PATIENCE)
            del futures, future


def thread_name():
    return threading.current_thread().name


class Unpickled:
    """Becomes, when it is unpickled, what `thread_name` returns there."""

    def __reduce__(self):
        return thread_name, ()


def unpickled(actor):
    return Unpickled()


def test_rays_own_thread_runs_no_code_of_the_user():
    """Neither callbacks nor the unpickling of answers: everything else on Ray's thread would wait
    for that code."""
    names = []
    with RayDo.executor() as executor:
        future = executor.post((unpickled,))
        future.add_done_callback(lambda _: names.append(thread_name()))
        assert future.result(PATIENCE) == "RayDo"
    assert names == ["RayDo"]


def test_a_reference_cannot_go_into_a_ray_actor_and_the_error_says_so(thread):
    with RayEcho.executor() as executor, thread.start(actors.Echo) as other:
        for reference in (other, other.ref(), [other]):
            error = executor.post(reference).exception(PATIENCE)
            assert type(error) is TypeError
            assert "handles of Ray's own actors" in str(error)
