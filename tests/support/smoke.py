"""What must work wherever the package was installed from; run in a folder that has nothing else."""

import asyncio
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import futures_actors
from futures_actors import ActorDied, ProcessActor, ThreadActor


class Counting:
    def __init__(self, start=0):
        self.total = start

    def handle(self, message):
        self.total += message
        return self.total

    def divide(self, by):
        return self.total / by

    def end(self):
        import os

        os._exit(3)


class Near(Counting, ThreadActor):
    pass


class Far(Counting, ProcessActor):
    pass


async def awaited(counter):
    return await counter.post(0)


def main():
    folder = Path(futures_actors.__file__).parent
    assert "site-packages" in folder.parts, folder
    for name in ("py.typed", "_core.pyi"):
        assert (folder / name).exists(), name
    assert importlib.metadata.version("futures_actors") == futures_actors.__version__

    for actor in (Near, Far):
        with actor.executor(start=100) as counter:
            assert [future.result() for future in map(counter.post, (1, 2, 3))] == [101, 103, 106]
            assert asyncio.run(awaited(counter)) == 106
            assert counter.proxy().divide(2).result() == 53
            assert isinstance(counter.proxy().divide(0).exception(), ZeroDivisionError)
    methods = ["spawn"]
    if sys.platform == "linux":
        methods.append("forkserver")
    for method in methods:
        with Far.options(start_method=method).executor() as counter:
            died = counter.proxy().end().exception()
            assert isinstance(died, ActorDied), died
            assert died.exitcode == 3, died

    demo = [sys.executable, "-m", "futures_actors", "--help"]
    help_text = subprocess.run(demo, capture_output=True, text=True, check=True)
    assert "actor" in help_text.stdout
    print(f"futures_actors {futures_actors.__version__} works on {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
