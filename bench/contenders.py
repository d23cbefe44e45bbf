"""Who is measured: one class per contender, all with the same five verbs.

`open` starts it around an object of `work.py`, `post(message)` gives a ticket, `take(ticket)`
blocks for the answer, `echo(array)` is both, `close` ends it. `post` and `take` are the contender's
own bound methods wherever possible: no wrapper is timed that a user would not write. No contender
may do less than the work, and none may measure or check.
"""

import functools
import itertools
import multiprocessing
import operator
import os
import shlex
import subprocess
import sys
from concurrent import futures
from multiprocessing import shared_memory
from pathlib import Path

import work

HERE = Path(__file__).parent


class NotYetError(Exception):
    """The contender cannot do this row; the table prints the text as the reason."""


class Contender:
    name = ""
    width = 1  # objects that take its messages in turn
    limit_s = None  # seconds for all its rounds of a row

    def __init__(self, job="Counter", label=None):
        self.job = job
        self.name = label or self.name
        self.handled = 0  # messages, kept by the workload that sends them
        self.answer = None  # the array that it answered last, kept alike

    def __enter__(self):
        self.handled = 0  # a new object counts from nothing
        self.open()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def probe(self):
        """Raise NotYetError if the row cannot be done and that is known before anything starts."""

    def shares_cpu(self):
        """Whether the two sides ran on one CPU just now, by what each of them says; None: it is
        not known."""
        return

    def echo(self, array):
        answer = self.take(self.post(array))
        work.read_pages(answer)
        return answer


class Pooled(Contender):
    """Everything that is a `concurrent.futures.Executor`."""

    take = staticmethod(operator.methodcaller("result"))

    def shares_cpu(self):
        if not Path(work.THREAD_STATUS).exists():
            return None
        return self.executor.submit(work.cpu).result() == work.cpu()

    def close(self):
        self.executor.shutdown(cancel_futures=True)


class ThreadPool(Pooled):
    name = "ThreadPoolExecutor(1)"

    def open(self):
        kept = work.JOBS[self.job]()
        self.executor = futures.ThreadPoolExecutor(1)
        self.post = functools.partial(self.executor.submit, kept.handle)


class ProcessPool(Pooled):
    """Spawns by default, because a process with threads must not be forked."""

    name = "ProcessPoolExecutor(1)"

    def __init__(self, job="Counter", label=None, method="spawn"):
        super().__init__(job, label)
        self.context = multiprocessing.get_context(method)

    def open(self):
        self.executor = futures.ProcessPoolExecutor(
            1, mp_context=self.context, initializer=work.keep, initargs=(self.job,)
        )
        self.post = functools.partial(self.executor.submit, work.handle)


class ActorContender(Pooled):
    name = "futures_actors"
    kind = ""

    def open(self):
        try:
            self.executor = self.starter().executor()
        except NotImplementedError as error:
            raise NotYetError(f"NotImplementedError: {error}") from error
        self.post = self.executor.post
        if hasattr(os, "sched_setaffinity"):
            # A fork server of another placement may have started the child.
            self.executor.submit(os.sched_setaffinity, 0, os.sched_getaffinity(0)).result()

    def probe(self):
        self.starter()

    def starter(self):
        try:
            import actors
        except ImportError as error:
            raise NotYetError(str(error)) from error
        return getattr(actors, self.kind + self.job)


class ThreadActor(ActorContender):
    kind = "Thread"


class ProcessActor(ActorContender):
    kind = "Process"


class ProcessActorBy(ProcessActor):
    """A process actor started by a named method."""

    def __init__(self, method):
        super().__init__()
        self.method = method

    def starter(self):
        actor = super().starter()
        if not hasattr(actor, "options"):
            raise NotYetError("the package has no options(start_method=...)")
        try:
            return actor.options(start_method=self.method)
        except (TypeError, ValueError) as error:
            raise NotYetError(f"start_method={self.method!r}: {error}") from error


class Crew(Contender):
    """Actors of one kind, all at once: each message goes to the next of them."""

    take = Pooled.take

    def __init__(self, actor, width):
        super().__init__(label=f"{width:,} actor{'s' * (width > 1)}")
        self.actor = actor
        self.width = width

    def open(self):
        starter = self.actor.starter()
        self.executors = []
        for _ in range(self.width):
            self.executors.append(starter.executor())
        posts = itertools.cycle([executor.post for executor in self.executors])
        self.post = lambda message: next(posts)(message)  # noqa: PLW0108 - another one each time

    def close(self):
        for executor in self.executors:
            executor.shutdown(wait=False)
        for executor in self.executors:
            executor.shutdown()


class PipeLoop(Contender):
    name = "multiprocessing.Pipe loop"

    def open(self):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work.serve, args=(theirs, self.job), daemon=True)
        self.process.start()
        theirs.close()
        self.post = self.connection.send

    def take(self, _ticket):
        return self.connection.recv()

    def close(self):
        self.connection.close()
        self.process.join()


class SharedMemoryByHand(PipeLoop):
    """What one writes today to copy an array once: a named block for it, a pipe to say when.

    The answer is a view of the block, which the next message overwrites.
    """

    name = "shared_memory by hand"

    def open(self):
        context = multiprocessing.get_context("spawn")
        self.memory = None
        self.connection, theirs = context.Pipe()
        target, args = work.serve_shared, (theirs, self.job)
        self.process = context.Process(target=target, args=args, daemon=True)
        self.process.start()
        theirs.close()

    def post(self, array):
        if self.memory is None or self.memory.size < array.nbytes:
            self.forget()
            self.memory = shared_memory.SharedMemory(create=True, size=array.nbytes)
            self.connection.send(self.memory.name)
        self.view = work.array_in(self.memory, array.shape, array.dtype)
        self.view[...] = array
        self.connection.send((array.shape, array.dtype))

    def take(self, _ticket):
        answer = self.connection.recv()
        return self.view if answer is None else answer

    def forget(self):
        self.view = self.answer = None
        if self.memory is not None:
            self.memory.close()
            self.memory.unlink()

    def close(self):
        super().close()
        self.forget()


class BarePipe(Contender):
    """The limit for Python at both ends: no pickle, no future, one write and one read a message."""

    name = "bare os.pipe echo"

    def open(self):
        self.process = subprocess.Popen(
            [sys.executable, HERE / "echo_peer.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.write_fd = self.process.stdin.fileno()
        self.read_fd = self.process.stdout.fileno()

    def post(self, message):
        os.write(self.write_fd, message.to_bytes(8, "little"))

    def take(self, _ticket):
        return int.from_bytes(os.read(self.read_fd, 8), "little")

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class OwnClock(Contender):
    """A program that measures itself, for limits without Python: `PROGRAM N` makes N round trips of
    8 bytes between two processes and prints the nanoseconds that they took together. PROGRAM may
    have arguments of its own.
    """

    def __init__(self, program):
        self.command = shlex.split(program)
        name = Path(self.command[0]).name
        super().__init__(label=f"{' '.join([name, *self.command[1:]])} (limit)")

    def open(self):
        pass

    def close(self):
        pass

    def round_trips_ns(self, count):
        done = subprocess.run([*self.command, str(count)], check=True, capture_output=True)
        return int(done.stdout)


class WarmCopy(Contender):
    """The limit for arrays: one copy into memory that is already there."""

    name = "warm memory copy"

    def open(self):
        self.into = None
        self.count = 0

    def echo(self, array):
        if self.into is None or self.into.shape != array.shape:
            self.into = array.copy()
        self.into[...] = array
        self.count += 1
        self.into[0] = self.count
        return self.into

    def close(self):
        self.into = None


class BareInterpreter(Contender):
    """The limit for a fresh interpreter: start and end of one that does nothing."""

    name = "python -c pass"

    def open(self):
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    def post(self, message):
        return message

    def take(self, message):
        return message + 1

    def close(self):
        pass
