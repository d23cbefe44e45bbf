"""Async actors that do what they are sent."""

import asyncio

import programs
from gates import PATIENCE


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
