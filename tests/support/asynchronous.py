"""Async actors that do what they are sent, and the event loop of all."""

import asyncio
import inspect
import warnings
from pathlib import Path

import programs
from futures_actors import ProcessActor, ThreadActor, _class_options, current_actor
from gates import PATIENCE


def warm_uvloop():
    """Open the descriptors that uvloop opens once, at its first loop."""
    import uvloop

    uvloop.new_event_loop().close()


def use_uvloop():
    """Have uvloop make the loops of the tests, and those of actors that name no other."""
    import uvloop

    with warnings.catch_warnings():
        # Python 3.14 has deprecated policies, and the tests call `asyncio.run` without a factory.
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    for base in (ThreadActor, ProcessActor):
        # As if it were a keyword of the base classes.
        setattr(base, _class_options.OWN, {"loop_factory": uvloop.new_event_loop})
    warm_uvloop()


class Awaits:
    """A message is `(function, *args)`; the function gets the actor first, and may be async."""

    def __init__(self, stops=None):
        self.log = []
        self.stops = stops

    async def handle(self, message):
        function, *args = message
        answer = function(self, *args)
        return await answer if inspect.isawaitable(answer) else answer

    async def on_stop(self):
        if self.stops is not None:
            (Path(self.stops) / str(current_actor().index)).touch(exist_ok=False)


class ThreadAwaits(Awaits, ThreadActor):
    pass


class ProcessAwaits(Awaits, ProcessActor):
    pass


class FactoryTask(asyncio.Task):
    """A task that a task factory has made."""


def make_task(loop, coroutine, **options):
    return FactoryTask(coroutine, loop=loop, **options)


def debugging_loop():
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


def loop_with_factory():
    loop = asyncio.new_event_loop()
    loop.set_task_factory(make_task)
    return loop


def make_late_task(loop, coroutine, **options):
    async def begin_late():
        try:
            await asyncio.sleep(0)
            return await coroutine
        finally:
            coroutine.close()

    return FactoryTask(begin_late(), loop=loop, **options)


def loop_with_late_tasks():
    loop = asyncio.new_event_loop()
    loop.set_task_factory(make_late_task)
    return loop


#: What makes the loop of an actor. None: nothing that a class names.
LOOP_FACTORIES = {
    "plain": None,
    "debug": debugging_loop,
    "task factory": loop_with_factory,
    "late tasks": loop_with_late_tasks,
}


def hold(_actor, gate):
    """Block the loop, so that messages pile up behind this one."""
    gate.wait()


def post_behind(executor, gate, messages):
    """Post messages that are all there when the first of them begins."""
    executor.tell((hold, gate))
    gate.reached()
    futures = [executor.post(message) for message in messages]
    gate.open()
    return futures


class StartsLate(ProcessAwaits):
    """Its constructor waits at a gate once there is a file `path`."""

    def __init__(self, path, gate):
        super().__init__()
        if path.exists():
            gate.wait()


async def pause(actor, gate):
    """Await a gate: other messages go on meanwhile."""
    await asyncio.to_thread(gate.wait)
    return "passed"


async def wait_for_ever(actor, gate):
    gate.knock()
    await asyncio.Event().wait()


async def count(actor, to):
    for number in range(to):
        yield number


def make(base, **options):
    """Return an async actor that does what it is sent: `(name, *args)` calls its method."""

    class Does(base, **options):
        def __init__(self):
            self.log = []
            self.loops = [asyncio.get_running_loop()]
            self.events = {}
            self.inside = self.most = 0

        async def on_start(self):
            self.loops.append(asyncio.get_running_loop())

        async def handle(self, message):
            self.loops.append(asyncio.get_running_loop())
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                name, *args = message
                return await getattr(self, name)(*args)
            finally:
                self.inside -= 1

        def event(self, name):
            return self.events.setdefault(name, asyncio.Event())

        async def wait(self, name):
            self.log.append(name)
            await self.event(name).wait()
            return name

        async def set(self, name):
            self.event(name).set()

        async def echo(self, value):
            return value

        async def recall(self):
            return self.log

        async def count_loops(self):
            return len(self.loops), len(set(self.loops))

        async def maximum(self):
            return self.most

    return Does


def wait_for_log(executor, *log):
    """Wait until the messages of this log have begun, in this order."""
    programs.wait_until(lambda: executor.post(("recall",)).result(PATIENCE) == list(log), PATIENCE)
