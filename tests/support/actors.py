"""Sample actors, importable by a child. A body (`Do`, `Counter`, ...) is a plain class that
answers messages; `actor_class` gives the `ThreadActor` or `ProcessActor` made of it, and the oracle
wraps the body itself. The free functions are what `Do` is asked to do. Nothing heavy is imported
here: a child must not pay for what it does not use, and a test looks."""

import collections
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

from futures_actors import ProcessActor, ThreadActor

PATIENCE = 20  # seconds that anything may wait before it counts as hung

#: The suite's option `--start-method`: also for the programs that its tests start.
START_METHOD = "FUTURES_ACTORS_TESTS_START_METHOD"

# Not in a child, which would import for it what children do without.
if START_METHOD in os.environ and "futures_actors._child" not in sys.modules:
    from futures_actors import set_start_method

    set_start_method(os.environ[START_METHOD])


class Gate:
    """A door that an actor knocks at and a test opens, for threads and processes (two FIFOs)."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Gate, (self.path,)

    def wait(self):
        """Knock, and return when the test has opened: what an actor calls."""
        self._write("knock", 1)
        self._read("open", PATIENCE)

    def reached(self, timeout=PATIENCE):
        """Return when an actor has knocked: what a test calls."""
        self._read("knock", timeout)

    def open(self, times=1):
        """Let the next `times` waiters through."""
        self._write("open", times)

    def _write(self, door, times):
        descriptor = os.open(f"{self.path}.{door}", os.O_RDWR)
        try:
            os.write(descriptor, b"." * times)
        finally:
            os.close(descriptor)

    def _read(self, door, timeout):
        deadline = time.monotonic() + timeout
        descriptor = os.open(f"{self.path}.{door}", os.O_RDWR | os.O_NONBLOCK)
        try:
            while select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
                try:
                    os.read(descriptor, 1)
                except BlockingIOError:  # another waiter was quicker
                    continue
                return
            raise TimeoutError(f"nobody came to the door {door} of {self.path} in {timeout} s")
        finally:
            os.close(descriptor)


# Bodies.


class Do:
    """Does what it is sent: a message is `(function, *args)`; the function gets the actor first."""

    def __init__(self):
        self.log = []

    def handle(self, message):
        function, *args = message
        return function(self, *args)


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


class Keeps:
    """Keeps what it gets, and answers None with all of that."""

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
        raise Uncrossable("odd")


class DiesAtBirth:
    def __init__(self, status):
        os._exit(status)


class StartsOthers:
    """Has an actor of its own, of the kind that its constructor is told, and asks it."""

    def __init__(self, inner, *args):
        self.inner = inner.executor(*args)

    def handle(self, message):
        return self.inner.post(message).result(PATIENCE)


class WatchesItself:
    """Handles ranges in C alone, while a thread of its own looks how far it has come."""

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
        time.sleep(0)  # an invitation to other threads
        self.inside -= 1
        return None


class Writes:
    """Writes a line to a file for each message, and at its end."""

    def __init__(self, path, error=None):
        self.path = path
        self.error = error

    def handle(self, message):
        append_to(self, self.path, f"{message} {threading.get_ident()}\n")

    def on_stop(self):
        append_to(self, self.path, f"stop {threading.get_ident()}\n")
        if self.error is not None:
            raise self.error


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


BODIES = [value for value in list(globals().values()) if isinstance(value, type)]
BODIES = [body for body in BODIES if body not in (Gate, Path, ProcessActor, ThreadActor)]
for _base in (ThreadActor, ProcessActor):
    for _body in BODIES:
        _name = _base.__name__.removesuffix("Actor") + _body.__name__
        globals()[_name] = type(_name, (_body, _base), {"__module__": __name__})


def actor_class(body, kind):
    """Return the actor around `body`: `kind` is "Thread", "Process" or "Ray"."""
    return getattr(sys.modules[__name__], kind + body.__name__)


def __getattr__(name):
    """Find the Ray actors, whose module needs Ray."""
    if not name.startswith("Ray"):
        raise AttributeError(name)
    import ray_actors

    return getattr(ray_actors, name)


# What `Do` is asked to do.


def echo(actor, value):
    return value


def get_pid(actor):
    return os.getpid()


def get_thread(actor):
    return threading.get_ident()


def remember(actor, item):
    actor.log.append(item)
    return len(actor.log)


def recall(actor):
    return actor.log


def attributes(actor):
    return sorted(vars(actor))


def pause(actor, gate):
    gate.wait()
    return "passed"


def pause_and_remember(actor, gate, item):
    gate.wait()
    return remember(actor, item)


def nap(actor, seconds):
    time.sleep(seconds)
    return seconds


def nap_in_c(actor, seconds):
    """Sleep without letting go of the interpreter."""
    import ctypes

    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


def spin(actor, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass


def call(actor, function, *args):
    """Run any function that the child can get: for what needs no actor."""
    return function(*args)


def fail(actor, error):
    raise error


def fail_with(actor, name, *args):
    """Raise this module's exception `name`: it is made where it is raised."""
    raise globals()[name](*args)


def fail_twice(actor):
    try:
        raise KeyError("first trouble")
    except KeyError as error:
        raise ValueError("second trouble") from error


def fail_with_notes(actor):
    error = ValueError("noted")
    error.extra = {"more": 1}
    raise error


def exit_politely(actor, status):
    sys.exit(status)


def exit_at_once(actor, status):
    os._exit(status)


def kill(actor, number):
    os.kill(os.getpid(), number)
    time.sleep(PATIENCE)


def segfault(actor):
    import ctypes

    ctypes.string_at(0)


def leave_a_fork_and_die(actor, seconds):
    """Die while a forked copy, which has this process's descriptors, lives on."""
    if os.fork() == 0:
        time.sleep(seconds)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def leave_a_fork(actor, seconds):
    pid = os.fork()
    if pid == 0:
        time.sleep(seconds)
        os._exit(0)
    return pid


def close_everything(actor):
    os.closerange(3, 4096)
    return "closed"


def write_nonsense(actor, nonsense, status=None):
    """Write to every pipe or socket that leads out of this process; exit if there is a status."""
    for descriptor in out_of_here():
        os.write(descriptor, nonsense)
    if status is not None:
        os._exit(status)
    return "written"


def out_of_here():
    """Return this process's writable pipes and sockets beyond the three standard ones."""
    import fcntl
    import stat

    for descriptor in range(3, 256):
        try:
            mode = os.fstat(descriptor).st_mode
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        except OSError:
            continue
        if (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and flags & os.O_ACCMODE != os.O_RDONLY:
            yield descriptor


def descriptors(actor):
    """Return what this process's descriptors beyond the three standard ones lead to, and which."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            link, inode = str(entry.readlink()), entry.stat().st_ino
        except OSError:  # the listing's own
            continue
        if int(entry.name) > 2:
            found.append(f"{link} inode {inode}")
    return sorted(found)


def answer_with_lock(actor):
    return threading.Lock()


def answer_in_process(actor, value):
    return BreaksElsewhere(value)


def answer_big(actor, size, gate):
    gate.wait()
    return b"x" * size


def post_to(actor, executor, message):
    """Post to another actor, and wait for it."""
    return executor.post(message).result(PATIENCE)


def start_inner(actor, kind, path, count):
    """Start an actor that appends to a file, give it work, and do not wait for it."""
    actor.inner = actor_class(Do, kind).executor()
    for number in range(count):
        actor.inner.post((append_to, path, f"{number}\n"))


def inner_pid(actor, kind):
    actor.inner = actor_class(Do, kind).executor()
    return actor.inner.post((get_pid,)).result(PATIENCE)


def keep_inner_busy(actor, message):
    actor.inner.post(message)


def append_to(actor, path, text):
    with Path(path).open("a") as file:
        file.write(text)


def drop_contents(actor, box):
    """Forget what a list holds: for a thread actor, where the box is the test's own."""
    box.clear()
    return "dropped"


def look_at(actor, dotted):
    """Import a module and return an attribute of it, `module:a.b`."""
    import importlib

    module, _, path = dotted.partition(":")
    value = importlib.import_module(module)
    for name in path.split("."):
        value = getattr(value, name)
    return value


def loaded(actor, *modules):
    return [name for name in modules if name in sys.modules]


def say(actor, text, stream="stdout"):
    print(text, file=getattr(sys, stream))


def read_stdin(actor):
    return sys.stdin.read(), os.read(0, 1)


def is_main_thread(actor):
    return threading.current_thread() is threading.main_thread()


def recurse(actor, depth=0):
    """Recurse through C and Python until something stops it."""
    return max([depth], key=lambda value: recurse(actor, value + 1))


# Messages and exceptions that make trouble.


class Uncrossable(Exception):
    """Holds what no pickler takes."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class TwoArguments(Exception):
    """Pickles, but cannot be rebuilt: one argument is remembered, two are wanted."""

    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


class Speechless(Exception):
    """Can neither cross nor say what it is."""

    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__

    def __reduce__(self):
        raise RuntimeError("no pickle")


class Impostor(Exception):
    """Rebuilds as something that is no exception."""

    def __reduce__(self):
        return str, ("not an exception",)


class Custom(Exception):
    """Crosses: its arguments rebuild it, and it has attributes."""

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code


class Final(BaseException):
    """Extends BaseException alone."""


class BreaksElsewhere:
    """Pickles anywhere, and fails to unpickle in any process but the one that made it."""

    def __init__(self, text, home=None):
        self.text = text
        self.home = home or os.getpid()

    def __reduce__(self):
        return rebuild_at_home, (self.text, self.home)


def rebuild_at_home(text, home):
    if os.getpid() != home:
        raise ValueError(f"{text} does not travel")
    return BreaksElsewhere(text, home)


class RefusesToPickle:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error
