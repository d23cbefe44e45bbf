"""What happens to a process actor that is being started again after a death."""

import os
from concurrent import futures

import pytest

import actors
import gates
import tasks
from futures_actors import ProcessActor
from gates import PATIENCE


def slow_births(tmp_path, gates):
    """Return an executor whose second birth waits at a gate, its waiting futures, and the gate."""
    gate = gates()
    path = tmp_path / "path of the gate"
    executor = Waits.options(max_restarts=1).executor(path)
    pid = executor.post((tasks.get_pid,)).result(PATIENCE)
    path.write_text(gate.path)
    posted = [executor.post((tasks.echo, number)) for number in range(5)]
    futures.wait(posted, PATIENCE)
    os.kill(pid, tasks.KILL)
    gate.reached()
    return executor, [executor.post((tasks.echo, number)) for number in range(20)], gate


class Waits(ProcessActor):
    def __init__(self, path):
        if path.exists():
            gates.Gate(path.read_text()).wait()

    handle = actors.Do.handle


def test_messages_posted_and_cancelled_during_a_restart(tmp_path, gates):
    executor, posted, gate = slow_births(tmp_path, gates)
    assert all(future.cancel() for future in posted[::2])
    gate.open()
    with executor:
        assert [future.result(PATIENCE) for future in posted[1::2]] == list(range(1, 20, 2))


@pytest.mark.parametrize("cancel", [True, False])
def test_a_shutdown_during_a_restart(tmp_path, gates, cancel):
    executor, posted, gate = slow_births(tmp_path, gates)
    executor.shutdown(wait=False, cancel_futures=cancel)
    gate.open()
    executor.shutdown(timeout=PATIENCE)
    assert [future.cancelled() for future in posted] == [cancel] * 20
    if not cancel:
        assert [future.result(0) for future in posted] == list(range(20))


@pytest.mark.parametrize("force", ["terminate", "kill"])
def test_force_during_a_restart_is_the_end(tmp_path, gates, force):
    executor, posted, _ = slow_births(tmp_path, gates)
    getattr(executor, force)()
    assert {future.exception(PATIENCE).started for future in posted} == {False}
    executor.shutdown(timeout=PATIENCE)
    assert executor.stats().restarts == 1
