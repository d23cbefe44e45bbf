"""The contenders: one class for each, all with the same five methods.

`open` starts the contender around an object of `work.py`, `post(message)` returns a ticket,
`take(ticket)` blocks until the answer is there, `echo(array)` does both, and `close` ends the
contender. `post` and `take` are the contender's own bound methods wherever possible, so that no
wrapper is timed that a user would not write. Each contender must do all of the work, and none may
measure or check.
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
    width = 1  # how many objects take its messages in turn
    limit_s = None  # how many seconds its rounds of a row may take together

    def __init__(self, job="Counter", label=None):
        self.job = job
        self.name = label or self.name
        self.handled = 0  # how many messages; the workload that sends them counts
        self.answer = None  # the last array that it answered; the workload keeps it

    def __enter__(self):
        self.handled = 0  # a new object counts from zero
        self.open()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def probe(self):
        """Raise NotYetError if it is clear before the start that the row cannot be done."""

    def shares_cpu(self):
        """Return whether both sides report the same CPU just now, or None if they cannot
        tell."""
        return

    def echo(self, array):
        answer = self.take(self.post(array))
        work.read_pages(answer)
        return answer


class Pooled(Contender):
    """A contender that is a `concurrent.futures.Executor`."""

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
    """A process pool, which spawns by default: a process with threads must not be forked."""

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
            # The child may come from a fork server that was started in another placement.
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
    """A process actor started by the named start method."""

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
    """Several actors of one kind, which take messages in turn."""

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
        self.post = lambda message: next(posts)(message)  # noqa: PLW0108 - another method each time

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
    """What a programmer writes by hand to copy an array only once.

    A named block holds the array, and a pipe says when it is there. The answer is a view of the
    block, which the next message overwrites.
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
    """The limit with Python at both ends: one write and one read per message, without pickle."""

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
    """A program that measures itself, which shows a limit without Python.

    `PROGRAM N` makes N round trips of 8 bytes between two processes and prints how many nanoseconds
    they took together. PROGRAM may have arguments of its own.
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
    """The limit for arrays: one copy into memory that already exists."""

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
    """The limit for a fresh interpreter: an interpreter that starts, does nothing and ends."""

    name = "python -c pass"

    def open(self):
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    def post(self, message):
        return message

    def take(self, message):
        return message + 1

    def close(self):
        pass
