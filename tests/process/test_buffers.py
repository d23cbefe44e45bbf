"""Big buffers cross in shared memory: what arrives, and which process owns it.
`test_shared_memory.py` has what it costs."""

import gc
import importlib.util
import os
import pickle
import threading
from array import array as plain_array
from typing import NamedTuple

import numpy as np
import pytest

import actors
import tasks
from arrays import MIB, THRESHOLD, numbers, same
from gates import PATIENCE
from observe import memory_files


class Holder:
    """Pickles its memory out of band, whatever holds it."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Holder, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other):
        return bytes(self.data) == bytes(other.data)

    __hash__ = None


class Pair(NamedTuple):
    left: object
    right: object


ARRAYS = {
    "C": numbers(),
    "Fortran": np.asfortranarray(numbers().reshape(128, -1)),
    "transposed": numbers().reshape(128, -1).T,
    "every second": numbers()[::2],
    "backwards": numbers()[::-1],
    "zero size": np.zeros((0, 5)),
    "no dimension": np.array(3.5),
    "small": numbers(800),
    "structured": np.zeros(100_000, dtype=[("name", "S10"), ("at", "<f4"), ("n", "<i8", (2,))]),
    "objects": np.array([None, "text", 3.5, ()] * 10_000, dtype=object),
    "text": np.array(["x" * 40] * 10_000),
    "dates": np.arange("2020", "2400", dtype="datetime64[D]"),
    "other byte order": numbers().astype(">i8"),
    "bool": np.ones(MIB, dtype=bool),
    "half": np.ones(MIB, dtype=np.float16),
    "complex": numbers().astype(complex),
    "matrix": np.ones((1000, 1000)).view(np.matrix),
    "masked": np.ma.masked_array(numbers(), mask=numbers() % 3 == 0),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_arrives_as_it_was_sent(kind, array):
    with kind.start(actors.Echo) as executor:
        got = executor.post(array).result(PATIENCE)
    same(np.asarray(got), np.asarray(array))
    assert got.flags.f_contiguous == array.flags.f_contiguous or not array.flags.contiguous
    assert got.flags.writeable


@pytest.mark.parametrize(
    "length", [0, 1, THRESHOLD - 8, THRESHOLD, THRESHOLD + 8, MIB, 3 * MIB + 8, 64 * MIB]
)
def test_an_array_of_every_size_arrives(echo, length):
    for _ in range(3):
        array = numbers(length)
        same(echo.post(array).result(PATIENCE), array)


OTHERS = {
    "bytes": b"b" * MIB,
    "bytearray": bytearray(b"b" * MIB),
    "text": "t" * MIB,
    "list of bytearrays": [bytearray(b"b" * MIB), bytearray(b"c" * MIB)],
    "many small": list(range(100_000)),
    "holder of bytes": Holder(b"h" * MIB),
    "holder of a bytearray": Holder(bytearray(b"h" * MIB)),
    "holder of a memoryview": Holder(memoryview(bytearray(b"h" * MIB))[10:-10]),
    "holder of little": Holder(b"h"),
    "holder of nothing": Holder(b""),
}


@pytest.mark.parametrize("message", OTHERS.values(), ids=OTHERS)
def test_other_big_messages_arrive(kind, message):
    with kind.start(actors.Echo) as executor:
        same(executor.post(message).result(PATIENCE), message)


@pytest.mark.parametrize("length", [0, 100, THRESHOLD - 1, THRESHOLD, MIB])
@pytest.mark.parametrize("owner", [bytes, bytearray, lambda length: plain_array("B", [0]) * length])
def test_a_pickle_buffer_arrives_as_a_view_whatever_its_length(process, owner, length):
    sent = [pickle.PickleBuffer(owner(length)), "beside it"]
    with process.start(actors.Do) as executor:
        got, beside = executor.post((look_at_buffer, sent)).result(PATIENCE)
    (kind, size, first, readonly), back = got
    assert (kind, size, beside) == ("memoryview", length, "beside it")
    assert readonly == (owner is bytes)
    assert first == (0 if length else None)
    assert type(back) is memoryview
    assert back.tobytes() == (
        b"" if not length else b"\0" * length if readonly else b"\7" + bytes(length - 1)
    )
    assert back.readonly == readonly


def look_at_buffer(actor, message):
    view, beside = message
    said = type(view).__name__, len(view), view[0] if view else None, view.readonly
    if view and not view.readonly:
        view[0] = 7
    return (said, view), beside


def test_several_buffers_of_one_message_arrive(echo):
    array = numbers()
    message = {
        "twice": [array, array],
        "part": array[1000:],
        "pair": Pair(numbers(THRESHOLD), numbers(8)),
        "many": [np.full(THRESHOLD, n, np.uint8) for n in range(20)],
        "bytes": b"b" * MIB,
    }
    got = echo.post(message).result(PATIENCE)
    assert got["twice"][0] is got["twice"][1]
    got["twice"][0][1000] = -1
    same(got["part"], array[1000:])
    same(got["pair"].left, numbers(THRESHOLD))
    for n, one in enumerate(got["many"]):
        same(one, np.full(THRESHOLD, n, np.uint8))
    assert got["bytes"] == message["bytes"]


def test_more_buffers_than_a_frame_refers_to_arrive(echo):
    message = [np.full(THRESHOLD, n, np.uint16) for n in range(300)]
    for got, sent in zip(echo.post(message).result(PATIENCE), message, strict=True):
        same(got, sent)


TABLES = {
    "pandas": """if True:
        import numpy as np, pandas
        from actors import ProcessEcho
        frame = pandas.DataFrame({"n": np.arange(1 << 17), "x": np.ones(1 << 17), "t": "text"})
        with ProcessEcho.executor() as executor:
            got = executor.post(frame).result(30)
            pandas.testing.assert_frame_equal(got, frame)
            got.loc[0, "n"] = 7
            assert frame.loc[0, "n"] == 0
    """,
    "pyarrow": """if True:
        import numpy as np, pyarrow
        from actors import ProcessEcho
        table = pyarrow.table({"n": np.arange(1 << 17), "t": ["text"] * (1 << 17)})
        with ProcessEcho.executor() as executor:
            for _ in range(3):
                assert executor.post(table).result(30).equals(table)
    """,
}


@pytest.mark.parametrize("package", TABLES)
def test_tables_arrive(script, package):
    """In a program of their own: what these packages start at their import lives on."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    script(TABLES[package]).check()


def test_submitted_functions_and_methods_take_and_give_arrays(process):
    with process.start(actors.Echo) as executor:
        assert executor.submit(np.sum, numbers()).result(PATIENCE) == numbers().sum()
        same(executor.submit(np.arange, MIB).result(PATIENCE), np.arange(MIB))


def test_arrays_of_a_class_in_main_arrive(script):
    ended = script(
        """if True:
        import numpy as np
        from actors import ProcessActor
        class Named:
            def __init__(self, array):
                self.array = array
        class Doubles(ProcessActor):
            def handle(self, named):
                named.array *= 2
                return named
        with Doubles.executor() as executor:
            sent = Named(np.ones(1 << 20))
            got = executor.post(sent).result()
            print(type(got) is Named, got.array.sum(), sent.array.sum(), got.array.flags.writeable)
        """
    ).check()
    assert ended.out.split() == ["True", f"{2.0 * MIB}", f"{1.0 * MIB}", "True"]


# Who owns it.


def test_what_arrives_is_writable_if_it_was(echo):
    array = numbers()
    assert echo.post(array).result(PATIENCE).flags.writeable
    array.flags.writeable = False
    got = echo.post(array).result(PATIENCE)
    assert not got.flags.writeable
    with pytest.raises(ValueError, match=r"(?i)writeable"):
        got.flags.writeable = True
    assert not isinstance(echo.post(Holder(bytes(MIB))).result(PATIENCE).data, bytearray)
    assert memoryview(echo.post(Holder(bytes(MIB))).result(PATIENCE).data).readonly
    assert not memoryview(echo.post(Holder(bytearray(MIB))).result(PATIENCE).data).readonly


def test_a_change_to_an_array_that_arrived_reaches_no_other_copy(echo):
    sent = numbers()
    first = echo.post(sent).result(PATIENCE)
    second = echo.post(sent).result(PATIENCE)
    third = echo.post(first).result(PATIENCE)
    first[:] = -1
    for other in (sent, second, third):
        same(other, numbers())
    third[:] = -3
    assert (first == -1).all()


def keep_and_return(actor, array):
    actor.log.append(array)
    return array


def change_what_is_kept(actor):
    for array in actor.log:
        array[:] = -1
    return [int(array.sum()) for array in actor.log]


def keep_a_view_and_return(actor, array):
    actor.log.append(array[10:])
    return array


@pytest.mark.parametrize("keep", [keep_and_return, keep_a_view_and_return])
def test_what_the_actor_keeps_and_returns_is_not_shared(process, keep):
    with process.start(actors.Do) as executor:
        got = executor.post((keep, numbers())).result(PATIENCE)
        executor.post((change_what_is_kept,)).result(PATIENCE)
        same(got, numbers())
        got[:] = 7
        again = executor.post((change_what_is_kept,)).result(PATIENCE)
        assert again[0] < 0


def return_halves(actor, array):
    middle = len(array) // 2
    return array[:middle], array[middle:], array[middle - 1 : middle + THRESHOLD]


def test_views_of_one_array_come_back_apart(process):
    with process.start(actors.Do) as executor:
        left, right, across = executor.post((return_halves, numbers(4 * MIB))).result(PATIENCE)
    array = numbers(4 * MIB)
    same(np.concatenate([left, right]), array)
    left[-1] = right[0] = -1
    same(across, array[len(left) - 1 : len(left) + THRESHOLD])


def test_a_message_is_as_it_was_when_posted(process, gate):
    with process.start(actors.Do) as executor:
        executor.post((tasks.pause, gate))
        array = numbers()
        futures = [executor.post((tasks.echo, array)) for _ in range(5)]
        array[:] = -1
        gate.open()
        for future in futures:
            same(future.result(PATIENCE), numbers())


def test_an_array_outlives_its_executor(process):
    with process.start(actors.Echo) as executor:
        kept = executor.post(numbers(4 * MIB)).result(PATIENCE)
        unopened = executor.post(numbers(4 * MIB))
    del executor
    gc.collect()
    assert memory_files() == []
    same(kept, numbers(4 * MIB))
    kept += 1
    same(unopened.result(PATIENCE), numbers(4 * MIB))


def test_an_array_outlives_the_process_that_sent_it(process):
    with process.start(actors.Do) as executor:
        kept = executor.post((tasks.echo, numbers())).result(PATIENCE)
        unopened = executor.post((tasks.echo, numbers()))
        executor.post((tasks.exit_at_once, 3)).exception(PATIENCE)
        for array in (kept, unopened.result(PATIENCE)):
            same(array, numbers())
            array[0] = 9


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_arrays_of_its_own(echo):
    array = echo.post(numbers()).result(PATIENCE)
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            array += 1
            os.write(tell, b"as it was" if (array == numbers() + 1).all() else b"something else")
            del array
            gc.collect()
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as said:
        assert said.read() == b"as it was"
    assert os.waitpid(pid, 0)[1] == 0
    same(array, numbers())
    # Nor has it freed what is in use here.
    others = [echo.post(numbers() + n).result(PATIENCE) for n in range(5)]
    same(array, numbers())
    assert [int(other[0]) for other in others] == list(range(5))


def test_many_arrays_at_once(process):
    """More than there are slots: the rest goes through the pipe."""
    with process.start(actors.Echo) as executor:
        futures = [executor.post(np.full(THRESHOLD, n % 256, np.uint8)) for n in range(2500)]
        arrays = [future.result(PATIENCE) for future in futures]
        for n, array in enumerate(arrays):
            assert array[0] == array[-1] == n % 256
        del array, arrays, futures
        same(executor.post(numbers()).result(PATIENCE), numbers())


def test_threads_post_arrays_at_once(process):
    wrong = []

    def post(executor, n):
        for turn in range(30):
            array = np.full(THRESHOLD * (1 + turn % 3), n * 100 + turn)
            got = executor.post(array).result(PATIENCE)
            if got.shape != array.shape or not (got == array).all():
                wrong.append((n, turn))

    with process.start(actors.Echo) as executor:
        threads = [threading.Thread(target=post, args=(executor, n)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_an_array_that_a_callback_gets_can_be_posted_again(process):
    done = threading.Event()
    got = []

    def post_again(future):
        got.append(future.result())
        if len(got) == 3:
            done.set()
        else:
            executor.post(future.result() + 1).add_done_callback(post_again)

    with process.start(actors.Echo) as executor:
        executor.post(numbers()).add_done_callback(post_again)
        assert done.wait(PATIENCE)
    for n, array in enumerate(got):
        same(array, numbers() + n)
