"""Greenlets of gevent and eventlet: others run while one waits for an actor. What is not installed
is skipped, and `make test-examples` installs it."""

import pytest

import observe

pytestmark = pytest.mark.timeout(120)


PATCHES = {
    "gevent": "from gevent import monkey, sleep, spawn; monkey.patch_all()",
    "eventlet": "from eventlet import monkey_patch, sleep, spawn; monkey_patch()",
}
GREENLETS = """
import os, sys, threading

turns = 0

def turn():
    global turns
    while True:
        turns += 1
        sleep(0.001)

spawn(turn)

from futures_actors import ProcessActor, ThreadActor, set_start_method
set_start_method(sys.argv[1])

class Waits:
    def handle(self, message):
        return message

    def wait(self, door):
        os.read(door, 1)
        return "through"

    def wait_at(self, path):
        with open(path) as door:
            door.read()
        return "through"

class Near(Waits, ThreadActor):
    pass

class Far(Waits, ProcessActor):
    def handle(self, message):
        if message == "die":
            os._exit(3)
        return message

class Opens:
    # The door of an actor that another greenlet opens, once it has had ten turns of its own.
    def __init__(self, write):
        self.write = write
        spawn(self.open)

    def open(self):
        begun = turns
        while turns < begun + 10:
            sleep(0.001)
        self.write()

def check(executor, door, write):
    waiting = executor.proxy().wait(door)
    Opens(write)
    before = turns
    assert waiting.result(20) == "through"
    assert turns >= before + 10, "other greenlets run while result() waits"
    waiting = executor.proxy().wait(door)
    Opens(write)
    assert waiting.exception(20) is None
    for number in range(50):
        assert executor.post(number).result(20) == number

def check_room():
    read, write = os.pipe()
    with Near.options(mailbox_size=1).executor() as executor:
        first = executor.proxy().wait(read)
        while not first.running():
            sleep(0.001)
        second = executor.post(1)
        Opens(lambda: os.write(write, b"."))
        before = turns
        third = executor.post(2)
        assert turns >= before + 10, "other greenlets run while post() waits for room"
        assert [one.result(20) for one in (first, second, third)] == ["through", 1, 2]

with Near.executor() as near:
    read, write = os.pipe()
    check(near, read, lambda: os.write(write, b"."))
check_room()
far = Far.options(max_restarts=1).executor()
assert far.submit(os.getpid).result(20) != os.getpid()
os.mkfifo("door")
slow = far.proxy().wait_at("door")
Opens(lambda: open("door", "w").close())
before = turns
assert slow.result(20) == "through"
assert turns >= before + 10, "other greenlets run while result() waits"
for number in range(50):
    assert far.post(number).result(20) == number
assert far.post("die").exception(20).exitcode == 3
assert far.post(7).result(20) == 7
called = []
far.post(8).add_done_callback(called.append)
assert far.post(9).result(20) == 9
far.shutdown(timeout=20)
left = Far.executor()
left.post(1)
print("done", flush=True)
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize("package", PATCHES)
def test_other_greenlets_run_while_one_waits_for_an_actor(package, method, script):
    observe.need(package)
    flags = ["-W", "ignore"]
    ended = script(PATCHES[package] + GREENLETS, flags=flags, args=[method], timeout=60)
    assert (ended.status, ended.out) == (0, "done\n"), ended


GEVENT_TIMEOUT = """
from gevent import monkey; monkey.patch_all()
import gevent, os
from futures_actors import ThreadActor

class Waits(ThreadActor):
    def handle(self, door):
        return os.read(door, 1)

read, write = os.pipe()
with Waits.executor() as waits:
    future = waits.post(read)
    try:
        with gevent.Timeout(0.05):
            future.result()
    except gevent.Timeout:
        print("timed out", future.done())
    os.write(write, b".")
    print(future.result(20))
"""


def test_a_timeout_of_gevents_ends_the_wait_and_not_the_message(script):
    observe.need("gevent")
    assert script(GEVENT_TIMEOUT).check().out == "timed out False\nb'.'\n"
