"""Sample actors, importable by a child. A body (`Do`, `Counter`, ...) is a plain class that
answers messages. `actor_class` gives the `ThreadActor` or `ProcessActor` made of it, and the oracle
wraps the body itself. Nothing heavy is imported here: a child must not pay for what it does not
use, and a test checks that."""

import collections
import os
import sys
import threading
import time
from pathlib import Path

import gates
import trouble
from futures_actors import ProcessActor, ThreadActor, current_actor

#: The suite's option `--start-method`: also for the programs that its tests start.
START_METHOD = "FUTURES_ACTORS_TESTS_START_METHOD"

# Not in a child: `set_start_method` imports what children do without.
if START_METHOD in os.environ and "futures_actors._process.child" not in sys.modules:
    from futures_actors import set_start_method

    set_start_method(os.environ[START_METHOD])


class Do:
    """Does what it is sent: a message is `(function, *args)`; the function gets the actor first."""

    def __init__(self):
        self.log = []

    def handle(self, message):
        function, *args = message
        return function(self, *args)


class Holder(Do):
    """Holds a reference to another actor from its constructor on."""

    def __init__(self, ref):
        super().__init__()
        self.ref = ref


class Counter:
    def __init__(self, start=0, *, step=1):
        self.total = start
        self.step = step

    def handle(self, message):
        self.total += message * self.step
        return self.total


class Account:
    """Has methods, and no `handle`."""

    currency = "EUR"

    def __init__(self, balance=0):
        self.balance = balance

    def add(self, amount, *, fee=0):
        self.balance += amount - fee
        return self.balance

    def take(self, amount):
        if amount > self.balance:
            raise ValueError(f"there is only {self.balance}")
        return self.add(-amount)

    def call(self, function, *args, **kw):
        return function(*args, **kw)

    def get(self, **kw):
        return self.balance, kw

    @property
    def is_empty(self):
        return not self.balance

    def _secret(self):
        return "secret"


class Echo:
    def handle(self, message):
        return message


class KnowsPlace:
    """Knows its place in a pool, from the constructor on."""

    def __init__(self):
        self.index = current_actor().index

    def handle(self, _message):
        me = current_actor()
        return self.index, me, me.pool


class Keeps:
    """Keeps what it gets, and answers the message None with all of it."""

    def __init__(self):
        self.kept = []

    def handle(self, message):
        if message is None:
            return self.kept
        self.kept.append(message)
        return None


class Arguments:
    """Answers with what its constructor got; even `self` is free as a keyword."""

    def __init__(self, /, *args, **kw):
        self.got = args, kw

    def handle(self, message):
        return self.got


class Sums:
    """Answers with the sum of what its constructor got, of which it keeps nothing."""

    def __init__(self, array, *, other=None):
        self.sum = int(array.sum())
        if other is not None:
            self.sum += int(other.sum())

    def handle(self, message):
        return self.sum


class SaysHandles:
    def handles(self, message):
        return "handles", message


class SaysBoth:
    def handle(self, message):
        return "handle", message

    def handles(self, message):
        return "handles", message


class SaysNothing:
    pass


class AsksItsBase:
    def handle(self, message):
        return super().handle(message)


class Itself:
    """Answers with itself; never calls a base constructor."""

    kept = "class attribute"

    def __init__(self, name="a"):
        self.name = name

    def handle(self, message):
        return self if message is None else message


class Waits:
    """Its constructor waits at a gate."""

    def __init__(self, gate):
        gate.wait()

    def handle(self, message):
        return message


class Ignores:
    """Keeps nothing of what its constructor gets."""

    def __init__(self, argument):
        pass

    def handle(self, message):
        return message


class WritesAtBirth:
    """Its constructor, which takes nothing, writes to the file that the environment names."""

    def __init__(self):
        Path(os.environ["BIRTH_CERTIFICATE"]).write_text("born")


class Fails:
    """Its constructor passes the gate, if there is one, and raises."""

    def __init__(self, error, gate=None):
        if gate is not None:
            gate.wait()
        raise error

    def handle(self, message):
        raise AssertionError("handle of an actor that was never constructed")


class FailsOddly:
    """Its constructor raises what cannot cross."""

    def __init__(self):
        raise trouble.Uncrossable("odd")


class DiesAtBirth:
    def __init__(self, status):
        os._exit(status)


class DiesOnce:
    """The first one dies in its constructor."""

    def __init__(self, path):
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return
        os._exit(3)

    def handle(self, message):
        return message


class StartsOthers:
    """Starts an actor of the class that its constructor gets, and passes messages on to it."""

    def __init__(self, inner, *args):
        self.inner = inner.executor(*args)

    def handle(self, message):
        return self.inner.post(message).result(gates.PATIENCE)


class WatchesItself:
    """Handles ranges in C code, while a thread of its own looks how far it has come."""

    def __init__(self):
        self.last = collections.deque([0], maxlen=1)
        self.handle = self.last.extend
        self.seen = set()
        self.looks = True
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while self.looks:
            self.seen.add(self.last[0])

    def start(self):
        self.thread.start()

    def stop(self):
        """Return how many states the thread has seen."""
        self.looks = False
        self.thread.join()
        return len(self.seen)


class Remembers:
    """Writes down where it was constructed, where it handled, and where it was dropped."""

    def __init__(self, log):
        self.log = log
        self.log.append(("init", threading.get_ident()))

    def handle(self, message):
        self.log.append(("handle", threading.get_ident()))

    def __del__(self):
        self.log.append(("del", threading.get_ident()))


class AloneInside:
    """Counts how many threads are inside `handle` at once."""

    def __init__(self):
        self.inside = 0
        self.most = 0
        self.threads = {threading.get_ident()}

    def handle(self, message):
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.threads.add(threading.get_ident())
        if message == "report":
            return self.most, len(self.threads)
        time.sleep(0)  # lets other threads run
        self.inside -= 1
        return None


class Writes:
    """Writes a line to a file for each message, and at its end."""

    def __init__(self, path, error=None):
        self.path = path
        self.error = error

    def handle(self, message):
        self.write(f"{message} {threading.get_ident()}\n")

    def on_stop(self):
        self.write(f"stop {threading.get_ident()}\n")
        if self.error is not None:
            raise self.error

    def write(self, text):
        with Path(self.path).open("a") as file:
            file.write(text)


class Asks:
    """Passes messages on to another actor, and answers with that one's answer."""

    def __init__(self, other):
        self.other = other

    def handle(self, message):
        return self.other.post(message).result(gates.PATIENCE)


class Snapshots:
    """A message is an array and a gate: a fork of the actor looks at the array when the gate opens.

    Its exit status is 0 if the array is as it was. `deed`: what the actor does with it meanwhile.
    """

    def __init__(self, deed=None):
        self.deed = deed

    def handle(self, message):
        array, gate = message
        wanted = array.copy()
        if os.fork() == 0:
            gate.wait()
            os._exit(0 if (array == wanted).all() else 9)
        if self.deed == "changes":
            array[:] = 9
        return array if self.deed == "returns" else None


class Series:
    """Has methods that stream, and none to handle messages."""

    def __init__(self):
        self.made = 0

    def squares(self, count, *, offset=0):
        for number in range(count):
            self.made += 1
            yield number * number + offset

    def total(self):
        return self.made


BODIES = [value for value in list(globals().values()) if isinstance(value, type)]
BODIES = [body for body in BODIES if body not in (Path, ProcessActor, ThreadActor)]


def _async_parts(body):
    """Return what makes an async actor of `body`, which then does the same on an event loop."""

    async def handle(self, message):
        await asyncio_sleep()
        return body.handle(self, message)

    async def on_start(self):
        await asyncio_sleep()

    return {"handle": handle} if hasattr(body, "handle") else {"on_start": on_start}


async def asyncio_sleep():
    """Let the event loop run once."""
    import asyncio

    await asyncio.sleep(0)


for _base in (ThreadActor, ProcessActor):
    for _body in BODIES:
        _kind = _base.__name__.removesuffix("Actor")
        _named = {"__module__": __name__}
        globals()[_kind + _body.__name__] = type(_kind + _body.__name__, (_body, _base), _named)
        _name = f"Async{_kind}{_body.__name__}"
        globals()[_name] = type(_name, (_body, _base), _named | _async_parts(_body))


def actor_class(body, kind):
    """Return the actor around `body`.

    `kind` is "Thread", "AsyncThread", "Process", "AsyncProcess" or "Ray".
    """
    return getattr(sys.modules[__name__], kind + body.__name__)


def __getattr__(name):
    """Find the Ray actors, whose module needs Ray."""
    if not name.startswith("Ray"):
        raise AttributeError(name)
    import ray_actors

    return getattr(ray_actors, name)
