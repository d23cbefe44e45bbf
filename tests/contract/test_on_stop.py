"""`on_stop`: when it runs, in which thread, and what becomes of its errors."""

import logging

import pytest

import actors
import futures_actors
import programs
from gates import PATIENCE


def lines(path):
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def shut_down(executor):
    executor.shutdown(wait=False)


def leave(executor):
    with executor:
        pass


def drop(executor):
    pass


@pytest.mark.parametrize("stop", [shut_down, leave, drop])
def test_on_stop_runs_after_the_last_message_in_the_actors_thread(kind, tmp_path, stop):
    path = tmp_path / "log"
    executor = kind.start(actors.Writes, path)
    for number in range(3):
        executor.post(number)
    stop(executor)
    del executor
    programs.wait_until(lambda: "stop" in lines(path), PATIENCE)
    assert lines(path) == ["0", "1", "2", "stop"]
    assert len({line.split()[1] for line in path.read_text().splitlines()}) == 1


def test_on_stop_has_run_when_shutdown_returns(kind, tmp_path):
    path = tmp_path / "log"
    with kind.start(actors.Writes, path):
        pass
    assert lines(path) == ["stop"]


def test_on_stop_runs_at_the_exit_of_the_interpreter(kind, script, tmp_path):
    source = f"""if True:
        import actors, sys
        executor = actors.{kind.prefix}Writes.executor(sys.argv[1])
        executor.post("last")
    """
    script(source, args=[str(tmp_path / "log")]).check()
    assert lines(tmp_path / "log") == ["last", "stop"]


@pytest.mark.parametrize("force", ["terminate", "kill"])
def test_on_stop_does_not_run_after_force(kind, tmp_path, force):
    path = tmp_path / "log"
    executor = kind.start(actors.Writes, path)
    executor.post(1).result(PATIENCE)
    getattr(executor, force)()
    executor.shutdown()
    assert lines(path) == ["1"]


def test_on_stop_does_not_run_if_the_constructor_raised(kind, tmp_path, caplog):
    path = tmp_path / "log"
    executor = kind.start(actors.Writes, path, KeyError("k"), "one argument too many")
    executor.shutdown()
    assert not path.exists()
    assert not caplog.records


@pytest.mark.parametrize("error", [ValueError("bad end"), SystemExit(3), KeyboardInterrupt()])
def test_what_on_stop_raises_is_logged_and_harms_nothing(kind, tmp_path, caplog, error):
    executor = kind.start(actors.Writes, tmp_path / "log", error)
    future = executor.post(1)
    executor.shutdown()
    assert future.result(0) is None
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("futures_actors", logging.ERROR)
    assert record.getMessage() == f"actor {kind.prefix}Writes: on_stop raised an exception"
    text = record.exc_text or logging.Formatter().formatException(record.exc_info)
    assert "in on_stop" in text
    assert type(error).__name__ in text.splitlines()[-1]


def test_kill_ends_an_on_stop_that_hangs(process, gate, tmp_path):
    executor = ProcessHangs.executor(gate)
    executor.shutdown(wait=False)
    gate.reached()
    executor.kill()
    executor.shutdown(timeout=PATIENCE)


class ProcessHangs(futures_actors.ProcessActor):
    def __init__(self, gate):
        self.gate = gate

    def on_stop(self):
        self.gate.wait()
