"""What `actors.Do` is asked to do. A message is `(function, *args)`; the function gets the actor
first. Nothing heavy is imported here: a child must not pay for what it does not use, and a test
checks that."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import actors
import gates
import trouble

#: Ends a process at once. Windows has no signal of that name, and `os.kill` takes any number.
KILL = getattr(signal, "SIGKILL", 9)


def ended_by(number):
    """Return the exit code of a process that `os.kill` has ended by this number."""
    return int(number) if sys.platform == "win32" else -number


KILLED = ended_by(KILL)
SEGFAULT = 0xC0000005 if sys.platform == "win32" else -signal.SIGSEGV


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


def pause_with_pid(actor, gate, path):
    """Write the process's number to the file `path` before the actor knocks at the gate."""
    append_to(actor, path, str(os.getpid()))
    return pause(actor, gate)


def pause_and_remember(actor, gate, item):
    gate.wait()
    return remember(actor, item)


def nap(actor, seconds):
    time.sleep(seconds)
    return seconds


def nap_in_c(actor, seconds):
    """Sleep without letting go of the interpreter."""
    import ctypes

    if sys.platform == "win32":
        ctypes.PyDLL("kernel32").Sleep(int(seconds * 1000))
    else:
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
    """Raise the exception `name` of `trouble`: it is made where it is raised."""
    raise getattr(trouble, name)(*args)


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
    time.sleep(gates.PATIENCE)


def segfault(actor):
    import faulthandler

    faulthandler._read_null()


def leave_a_fork_and_die(actor, seconds):
    """Die while a forked copy, which has this process's descriptors, lives on."""
    if os.fork() == 0:
        time.sleep(seconds)
        os._exit(0)
    os.kill(os.getpid(), KILL)


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


def write_when_open(actor, gate, nonsense, status=None):
    """As `write_nonsense`, once the gate is open."""
    gate.wait()
    return write_nonsense(actor, nonsense, status)


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
    return trouble.BreaksElsewhere(value)


def answer_big(actor, size, gate):
    gate.wait()
    return b"x" * size


def post_to(actor, executor, message):
    """Post to another actor, and wait for it."""
    return executor.post(message).result(gates.PATIENCE)


def start_inner(actor, kind, path, count):
    """Start an actor that appends to a file, give it work, and do not wait for it."""
    actor.inner = actors.actor_class(actors.Do, kind).executor()
    for number in range(count):
        actor.inner.post((append_to, path, f"{number}\n"))


def inner_pid(actor, kind):
    actor.inner = actors.actor_class(actors.Do, kind).executor()
    return actor.inner.post((get_pid,)).result(gates.PATIENCE)


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


def begin(actor, log, number, dies):
    """Write down which message has begun, before anything else.

    Each process has a file of its own: on Windows appending to one file is not one step.
    """
    descriptor = os.open(f"{log}.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{number}\n".encode())
    os.close(descriptor)
    if dies:
        os._exit(7)
    return number


def add(actor, array, number):
    return array + number
