"""Actors that know each other, and write down what they send, handle and hear.

A message is a script: what its handler sends to whom, and for which answers it waits. The main
program's threads run scripts, too. All of them append to one file, a line with one system call. So
the file's order is one in which things can have happened: what a line causes comes after it.
"""

import asyncio
import concurrent.futures
import itertools
import os
import time
import weakref
from dataclasses import dataclass
from functools import partial

from futures_actors import (
    ActorDeadlock,
    BrokenActor,
    MailboxFull,
    ProcessActor,
    ThreadActor,
    _heartbeat,
    current_actor,
    current_message,
)

# On a busy machine a process may get no CPU for a second. That is no fault of an event loop's user.
_heartbeat.BLOCKED_AT_LEAST = 60

#: With these a message may be refused, or a wait may end.
NAMED = (ActorDeadlock, BrokenActor, MailboxFull)
#: asyncio has had another class since Python 3.8.
CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)
#: With these a wait with a time limit ends, before Python 3.11 and since.
LATE = (asyncio.TimeoutError, concurrent.futures.TimeoutError)

NUMBERS = itertools.count()


@dataclass(frozen=True)
class Message:
    """What an actor is to do. Scripts are made of tuples: the name of a step, and its arguments."""

    number: int
    target: int
    script: tuple = ()
    #: The actors to whom the handler, and those to whom it sends, may send something.
    needs: frozenset = frozenset()
    #: The actor to which the answer refers.
    introduces: int | None = None
    #: How many items a stream has.
    items: int = 0
    #: Whether the handler stops between two steps when it is asked to.
    obeys: bool = False


class Sender:
    """Runs scripts. Its subclasses know how to wait."""

    def __init__(self, path, index, refs):
        self.index, self.refs = index, dict(refs)
        self.name = f"{index}.{os.getpid()}.{next(NUMBERS)}"
        #: By number, what has been posted from here.
        self.futures = {}
        self.inside = 0
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND)
        # `on_stop` is not called for an actor that is ended by force.
        weakref.finalize(self, os.close, self.file)

    def write(self, *what):
        os.write(self.file, (" ".join(map(str, what)) + "\n").encode())

    def find(self, index, refs):
        """Return a reference: its own, one that it has from a constructor or an answer, or `refs`'.

        An actor that was started again knows only what its constructor and its messages tell it.
        """
        if index == self.index:
            return current_actor()
        return self.refs[index] if index in self.refs else refs[index]

    def steps(self, script, refs, *, obeys=False):
        """Run a script. It yields what to call and wait for, and gets what that returns."""
        for kind, what, *rest in script:
            if obeys and current_message().cancel_requested:
                raise concurrent.futures.CancelledError
            if kind == "rest":
                yield "rest", what
            elif kind == "cancel":
                self.cancel(what)
            elif kind == "ask":
                self.ask(what)
            elif kind == "hear":
                yield from self.hear(what)
            else:
                yield from self.send(kind, what, refs, *rest)

    def send(self, kind, message, refs, *rest):
        given = {index: self.find(index, refs) for index in message.needs}
        ref = self.find(message.target, refs)
        try:
            yield kind, ref, (message, given), *rest
        except NAMED as error:
            self.write("refused", message.number, type(error).__name__)
            self.check_circle(error)
        except LATE:
            self.write("refused", message.number, "TimeoutError")
        except CANCELLED:
            if kind != "stream":
                self.write("refused", message.number, "CancelledError")
            raise

    def sends(self, message, *how):
        """Write down that a message is sent now: no step of another script comes in between."""
        self.write("sends", message.number, self.name, *how)

    def check_circle(self, error):
        if isinstance(error, ActorDeadlock):
            self.write("circle", *error.circle)

    def keep(self, number, future):
        self.futures[number] = future
        future.add_done_callback(partial(self.ends, number))

    def ends(self, number, future):
        if future.cancelled():
            self.write("done", number, "cancelled")
        elif (error := future.exception()) is not None:
            self.write("done", number, type(error).__name__, getattr(error, "started", None))
        else:
            answer = future.result()
            right = answer is None or answer[0] == number
            self.write("done", number, "answered" if right else f"wrong: {answer}")

    def cancel(self, number):
        if number in self.futures:
            self.write("tries", number)
            if self.futures[number].cancel():
                self.write("cancelled", number)

    def ask(self, number):
        if number in self.futures:
            self.write("tries", number)
            self.futures[number].request_cancel()

    def hear(self, number):
        if number not in self.futures:
            return
        future = self.futures[number]
        try:
            answer = yield "result", future
        except CANCELLED:
            if self.index is not None and current_message().cancel_requested:
                # A coroutine that is stopped at an await gives up what it awaits.
                self.write("tries", number)
                raise
            if not future.cancelled():
                self.write("wrong", number, "cancelled without being asked")
        except NAMED as error:
            # Such an await cancels its message, if that has not begun.
            self.write("tries", number)
            self.check_circle(error)
        else:
            self.write("heard", number, self.name)
            if answer is not None and answer[1] is not None:
                index, ref = answer[1]
                self.refs[index] = ref

    def check_items(self, message, taken, most, *, ended):
        wanted = list(range(message.items))[:most]
        whole = wanted if ended else wanted[: len(taken)]
        if taken != whole:
            self.write("wrong", message.number, f"items {taken}, not {whole}")

    def begin(self, message):
        self.inside += 1
        self.write("began", message.number, self.name)

    def end(self, message, refs):
        self.write("ended", message.number, self.name)
        index = message.introduces
        return message.number, None if index is None else (index, self.find(index, refs))

    def stop(self, message):
        self.write("stopped", message.number)

    def look(self):
        """Return how many handlers run, and which messages posted from here have not ended."""
        waiting = [number for number, future in self.futures.items() if not future.done()]
        return self.inside, waiting


class Blocks(Sender):
    """Waits by blocking."""

    def run(self, script, refs, **options):
        steps, step = self.steps(script, refs, **options), next
        while True:
            try:
                name, *arguments = step(steps)
            except StopIteration:
                return
            try:
                got = getattr(self, name)(*arguments)
            except Exception as error:
                step = partial(_throw, error)
            else:
                step = partial(_send, got)

    def rest(self, seconds):
        time.sleep(seconds)

    def result(self, future):
        return future.result()

    def post(self, ref, parcel, timeout, _awaits):
        self.sends(parcel[0])
        self.keep(parcel[0].number, ref.post(parcel, timeout=timeout))

    def tell(self, ref, parcel, timeout, _awaits):
        self.sends(parcel[0])
        ref.tell(parcel, timeout=timeout)

    def stream(self, ref, parcel, most, ahead, _timeout):
        message = parcel[0]
        self.sends(message)
        stream = ref.stream_proxy(ahead).items(parcel)
        self.keep(message.number, stream.future)
        taken, ended = [], False
        try:
            with stream:
                for item in itertools.islice(stream, most):
                    taken.append(item)
            ended = True
        except NAMED as error:
            self.check_circle(error)
        self.check_items(message, taken, most, ended=ended)

    def handle(self, parcel):
        if parcel is None:
            return self.look()
        message, refs = parcel
        self.begin(message)
        try:
            self.run(message.script, refs, obeys=message.obeys)
            return self.end(message, refs)
        except CANCELLED:
            self.stop(message)
            raise
        finally:
            self.inside -= 1

    def items(self, parcel):
        message, _ = parcel
        self.begin(message)
        try:
            yield from range(message.items)
            self.write("ended", message.number, self.name)
        except GeneratorExit:
            self.stop(message)
            raise
        finally:
            self.inside -= 1


class Awaits(Sender):
    """Waits by `await`."""

    async def run(self, script, refs, **options):
        steps, step = self.steps(script, refs, **options), next
        while True:
            try:
                name, *arguments = step(steps)
            except StopIteration:
                return
            try:
                got = await getattr(self, name)(*arguments)
            except (Exception, asyncio.CancelledError) as error:
                step = partial(_throw, error)
            else:
                step = partial(_send, got)

    async def rest(self, seconds):
        await asyncio.sleep(seconds)

    async def result(self, future):
        return await future

    async def waits_for_room(self, sends, parcel):
        # `wait_for` makes a task, which begins later.
        self.sends(parcel[0], "waits")
        sent = await sends(parcel)
        self.write("sent", parcel[0].number, self.name)
        return sent

    async def post(self, ref, parcel, timeout, awaits):
        if awaits:
            future = await asyncio.wait_for(self.waits_for_room(ref.apost, parcel), timeout)
        else:
            self.sends(parcel[0])
            future = ref.post(parcel, timeout=timeout)
        self.keep(parcel[0].number, future)

    async def tell(self, ref, parcel, timeout, awaits):
        if awaits:
            await asyncio.wait_for(self.waits_for_room(ref.atell, parcel), timeout)
        else:
            self.sends(parcel[0])
            ref.tell(parcel, timeout=timeout)

    async def stream(self, ref, parcel, most, ahead, timeout):
        message = parcel[0]
        self.sends(message)
        stream = ref.stream_proxy(ahead).items(parcel)
        self.keep(message.number, stream.future)
        taken, ended = [], False

        async def take():
            async with stream:
                while len(taken) < most:
                    try:
                        taken.append(await anext(stream))
                    except StopAsyncIteration:
                        return

        try:
            await asyncio.wait_for(take(), timeout)
            ended = True
        except LATE:
            self.write("late", message.number)
        except NAMED as error:
            self.check_circle(error)
        self.check_items(message, taken, most, ended=ended)

    async def handle(self, parcel):
        if parcel is None:
            return self.look()
        message, refs = parcel
        self.begin(message)
        try:
            await self.run(message.script, refs, obeys=message.obeys)
            return self.end(message, refs)
        except CANCELLED:
            self.stop(message)
            raise
        finally:
            self.inside -= 1

    async def items(self, parcel):
        message, _ = parcel
        self.begin(message)
        try:
            for number in range(message.items):
                if number % 3 == 0:
                    await asyncio.sleep(0)
                yield number
            self.write("ended", message.number, self.name)
        except (GeneratorExit, asyncio.CancelledError):
            self.stop(message)
            raise
        finally:
            self.inside -= 1


def _throw(error, steps):
    return steps.throw(error)


def _send(value, steps):
    return steps.send(value)


class ThreadNode(Blocks, ThreadActor):
    pass


class ProcessNode(Blocks, ProcessActor):
    pass


class AsyncThreadNode(Awaits, ThreadActor):
    pass


class AsyncProcessNode(Awaits, ProcessActor):
    pass
