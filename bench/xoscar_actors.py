"""The actors of xoscar of which one asks another. Its children import this file."""

import asyncio
import os
import sys
from collections import deque

import patterns
import xoscar


class Adder(xoscar.Actor):
    def add(self, message):
        return message + 1


class Asker(xoscar.Actor):
    """Asks another actor in the patterns of `patterns.py`, whose waits are awaits here."""

    def __init__(self, other):
        self.other = other

    async def ask(self, pattern, size):
        return await getattr(self, pattern)(size)

    async def one_at_a_time(self, size):
        return [await self.other.add(message) for message in range(size)]

    async def sliding_window(self, size):
        window, answers = deque(), []
        for message in range(size):
            if len(window) == patterns.DEPTH:
                answers.append(await window.popleft())
            window.append(asyncio.ensure_future(self.other.add(message)))
        answers.extend([await task for task in window])
        return answers


async def start():
    """Return a pool of two processes, and an actor in one of them that knows one in the other."""
    finds_this_file = {"PYTHONPATH": os.pathsep.join(sys.path)}
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=2, envs=[finds_this_file] * 2)

    async def create(process, *args):
        where = xoscar.allocate_strategy.ProcessIndex(process)
        return await xoscar.create_actor(
            *args, address=pool.external_address, allocate_strategy=where
        )

    return pool, await create(2, Asker, await create(1, Adder))
