"""A Ray cluster for `pytest --ray`: which tests run on it, its start, and its end.

Ray listens on any interface that it finds, so it is started in a network namespace that has only
`lo`, or not at all.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent


def wants(item, with_ray):
    """Whether a test is to run with, or without, a cluster."""
    kinds = getattr(item, "callspec", None)
    kinds = [] if kinds is None else kinds.params.values()
    is_on_ray = item.path.name.startswith("test_ray") or "ray" in map(str, kinds)
    if with_ray and item.get_closest_marker("not_on_ray") is not None:
        return False
    return is_on_ray == with_ray


def leave_the_network():
    """Must be called before the process has threads."""
    # Last: the bench has an `actors`, too.
    sys.path.append(str(SUPPORT.parents[1] / "bench"))
    import network

    if network.is_alone():
        return
    try:
        network.leave()
    except OSError as error:
        pytest.exit(f"no network namespace for Ray, and it listens everywhere: {error}", 3)


class Cluster:
    """One node that the test process is connected to, and others as tests ask for them."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # it holds sockets: a short path
        # A worker imports the actors, and the test modules that have functions for them.
        folders = SUPPORT, SUPPORT.parent / "contract", SUPPORT.parent / "cluster"
        paths = [*map(str, folders), os.environ.get("PYTHONPATH")]
        os.environ.update(
            RAY_TMPDIR=self.folder,
            PYTHONPATH=os.pathsep.join(filter(None, paths)),
            RAY_USAGE_STATS_ENABLED="0",
            RAY_AUTH_MODE="disabled",
            # The machine may be busy, and Ray's workers are nicer than all that runs beside them.
            RAY_agent_register_timeout_ms="120000",
            RAY_worker_niceness="0",
            # Tests look at what programs write to stderr.
            RAY_LOGGER_LEVEL="error",
        )
        Path(self.folder, "ray").mkdir()
        # After the environment, which it reads.
        import ray
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        self.head = self.add("head", include_dashboard=False)
        # For programs that tests start.
        os.environ["RAY_ADDRESS"] = self.address
        ray.init(self.address, configure_logging=False, log_to_driver=False)

    def add(self, name, **more):
        """Start a node, which has 1000 of the resource `name`."""
        return self._cluster.add_node(
            num_cpus=1,
            resources={name: 1000},
            object_store_memory=300 << 20,
            node_ip_address="127.0.0.1",
            include_log_monitor=False,
            **more,
        )

    @property
    def address(self):
        return self._cluster.address

    def kill(self, node):
        self._cluster.remove_node(node, allow_graceful=False)

    def stop(self):
        import ray

        ray.shutdown()
        del os.environ["RAY_ADDRESS"]
        self._cluster.shutdown()
        deadline = time.monotonic() + 10
        while (left := processes_of(self.folder)) and time.monotonic() < deadline:
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not left, left


def processes_of(folder):
    """Return the command lines of the processes that mention a cluster's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (
                (entry / "cmdline").read_text().replace("\0", " ") if entry.name.isdigit() else ""
            )
        except OSError:
            continue
        if folder in command:
            found.append(command)
    return found
