"""Contenders from outside the standard library, for `make bench PEERS=1`. Each may be missing.

They have the same five methods as in `contenders.py`. A third-party package is imported only where
its peer is started, and a run without `--peers` must not need anything in this file.
"""

import asyncio
import contextlib
import functools
import operator
import os
import tempfile

import network
import patterns
import work
from contenders import Contender, NotYetError, Pooled

PACKAGES = ("loky", "pykka", "xoscar", "aiomultiprocess", "ray", "dask", "distributed")
LIMIT_S = 45  # for starting a peer in a row, and again for all its rounds


class Peer(Contender):
    """A contender with limited time, whose failures do not end the run."""

    limit_s = LIMIT_S

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        try:
            return super().__enter__()
        except BaseException as error:
            self.stack.close()
            if isinstance(error, ImportError):
                raise NotYetError(f"not installed: {error}") from error
            raise

    def close(self):
        self.stack.close()


class Loky(Peer):
    name = "loky ProcessPoolExecutor(1)"
    take = Pooled.take

    def open(self):
        import loky

        executor = loky.ProcessPoolExecutor(1, initializer=work.keep, initargs=(self.job,))
        self.stack.callback(executor.shutdown, kill_workers=True)
        self.post = functools.partial(executor.submit, work.handle)


class Pykka(Peer):
    name = "pykka ThreadingActor"
    take = staticmethod(operator.methodcaller("get"))

    def open(self):
        import pykka

        kept = work.JOBS[self.job]()

        class Actor(pykka.ThreadingActor):
            on_receive = staticmethod(kept.handle)

        reference = Actor.start()
        self.stack.callback(reference.stop)
        self.post = functools.partial(reference.ask, block=False)


class PykkaAsker(Peer):
    """An actor of pykka that asks another."""

    name = Pykka.name

    def open(self):
        import pykka
        import system_actors

        class Adder(pykka.ThreadingActor):
            on_receive = staticmethod(system_actors.add)

        class Asker(pykka.ThreadingActor):
            def on_receive(self, message):
                pattern, size = message
                post = functools.partial(other.ask, block=False)
                return getattr(patterns, pattern)(post, Pykka.take, range(size))

        other = Adder.start()
        self.stack.callback(other.stop)
        asker = Asker.start()
        self.stack.callback(asker.stop)
        self.ask = lambda pattern, size: asker.ask((pattern, size))


class Xoscar(Peer):
    """An actor of xoscar in one process that asks another in a second one, over the loopback."""

    name = "xoscar actor"

    def open(self):
        import xoscar_actors

        self.run = asyncio.new_event_loop().run_until_complete
        pool, asker = self.run(xoscar_actors.start())
        self.stack.callback(lambda: self.run(pool.stop()))
        self.ask = lambda pattern, size: self.run(asker.ask(pattern, size))


class AioMultiprocess(Peer):
    """A pool of one process, in whose event loop as many coroutines run as an actor may have."""

    name = "aiomultiprocess Pool(1)"

    def __init__(self, function="add_async"):
        super().__init__()
        self.function = function

    def open(self):
        import aiomultiprocess
        import system_actors

        loop = asyncio.new_event_loop()
        self.stack.callback(loop.close)
        function = getattr(system_actors, self.function)

        async def start():  # it needs a loop that runs
            return aiomultiprocess.Pool(1, childconcurrency=1_000)

        pool = loop.run_until_complete(start())
        self.stack.callback(lambda: loop.run_until_complete(pool.__aexit__()))
        self.post = lambda message: loop.create_task(pool.apply(function, (message,)))
        self.take = loop.run_until_complete


class Ray(Peer):
    """Ray listens on every interface and looks for a route out, so it needs a namespace."""

    name = "Ray actor"
    object_store_bytes = 100 << 20
    job_of = staticmethod(lambda job: job)

    def open(self):
        if not network.is_alone():
            raise NotYetError("only started in a network namespace of its own")
        # The import reads these variables.
        os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
        import ray

        if not ray.is_initialized():  # another contender may have initialised it
            self.init(ray)
        self.start(ray)

    def init(self, ray):
        folder = tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True)
        self.stack.enter_context(folder)  # a short path: it holds sockets
        self.stack.callback(ray.shutdown)
        ray.init(
            address="local",
            num_cpus=1,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            object_store_memory=self.object_store_bytes,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder.name,
        )

    def start(self, ray):
        actor = ray.remote(num_cpus=0)(self.job_of(work.JOBS[self.job])).remote()
        self.post, self.take = actor.handle.remote, ray.get


class OnRay(Ray):
    """An actor of ours that runs on Ray, in place of an actor of Ray."""

    name = "futures_actors RayActor"
    take = Pooled.take

    def start(self, _ray):
        from futures_actors.ray import RayActor

        job = work.JOBS[self.job]
        actor = type(job.__name__, (job, RayActor), {"__module__": "__main__"})
        executor = actor.options(num_cpus=0).executor()
        self.stack.callback(executor.shutdown)
        self.post = executor.post


class RayArrays(Ray):
    """Ray with arrays.

    `handle` gets a read-only view of Ray's memory, and so does the caller. Both are copied here, as
    a user must do before writing to them.
    """

    object_store_bytes = 5 << 30

    def start(self, ray):
        super().start(ray)
        get = self.take
        self.take = lambda ticket: get(ticket).copy()

    job_of = staticmethod(lambda job: type(job.__name__, (Copying, job), {}))


class OnRayArrays(OnRay):
    object_store_bytes = RayArrays.object_store_bytes


class Copying:
    def handle(self, array):
        return super().handle(array.copy())


class Dask(Peer):
    name = "Dask actor"
    take = staticmethod(operator.methodcaller("result"))

    def open(self):
        from distributed import Client, LocalCluster

        cluster = LocalCluster(
            processes=True,
            n_workers=1,
            threads_per_worker=1,
            dashboard_address=None,
            host="127.0.0.1",
            silence_logs=50,
        )
        self.stack.enter_context(cluster)
        client = self.stack.enter_context(Client(cluster))
        self.post = client.submit(work.JOBS[self.job], actor=True).result().handle
