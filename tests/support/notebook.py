"""Runs the cells of a program as a notebook's kernel does: in a `__main__` that is not the one the
interpreter made, one cell at a time, inside a running event loop."""

import asyncio
import sys
import types


def run(cells):
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    asyncio.run(_run(cells, main))


async def _run(cells, main):
    for number, cell in enumerate(cells):
        exec(compile(cell, f"<ipython-input-{number}>", "exec"), main.__dict__)
        await asyncio.sleep(0)
