"""Log records of a process actor reach the parent's loggers, and harm neither side."""

import logging
import os
import sys
import threading

import pytest

import actors
import loggers
import programs
import tasks
from gates import PATIENCE

LOGGER = "tests.of.actors"


class Collects(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []
        self.came = threading.Condition()

    def emit(self, record):
        with self.came:
            self.records.append(record)
            self.came.notify_all()

    def texts(self):
        return [record.getMessage() for record in self.records]

    def wait_for(self, count):
        with self.came:
            assert self.came.wait_for(lambda: len(self.records) >= count, PATIENCE)
        return self.records


@pytest.fixture
def logger():
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def seen(logger):
    handler = Collects()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def do(executor, function, *args):
    return executor.post((function, *args)).result(PATIENCE)


def test_a_record_reaches_the_logger_of_its_name_and_says_whose_it_is(process, seen):
    with process.start(actors.Do) as executor:
        pid = do(executor, tasks.get_pid)
        do(executor, loggers.log, LOGGER, "info", "the %s of %d", "text", 7)
    (record,) = seen.records
    assert record.getMessage() == "the text of 7"
    assert (record.name, record.levelno) == (LOGGER, logging.INFO)
    assert (record.actor, record.processName, record.process) == ("ProcessDo", "ProcessDo", pid)
    assert record.funcName == "log"
    assert record.threadName == "MainThread"


def test_it_is_there_before_the_answer_of_the_handle_that_logged_it(process, seen):
    with process.start(actors.Do) as executor:
        for number in range(100):
            do(executor, loggers.log, LOGGER, "info", "%d", number)
            assert len(seen.records) == number + 1
        texts = [executor.post((loggers.log, LOGGER, "info", "%d", n)) for n in range(100, 600)]
        texts[-1].result(PATIENCE)
    assert seen.texts() == [str(number) for number in range(600)]


def test_a_record_leaves_while_handle_goes_on(process, seen, gate):
    with process.start(actors.Do) as executor:
        future = executor.post((loggers.log_and_pause, LOGGER, "begun", gate))
        seen.wait_for(1)
        assert future.running()
        gate.open()
        future.result(PATIENCE)
    assert seen.texts() == ["begun"]


def test_levels_of_the_parent_at_the_start_hold_in_the_child(process, seen):
    with process.start(actors.Do) as executor:
        assert do(executor, loggers.level_of, LOGGER) == logging.INFO
        assert do(executor, loggers.level_of, "") == logging.root.level
        do(executor, loggers.log, LOGGER, "debug", "too fine")
    assert seen.records == []


def test_the_parent_filters_by_the_level_of_the_moment(process, seen, logger):
    with process.start(actors.Do) as executor:
        do(executor, loggers.log, LOGGER, "info", "one")
        logger.setLevel(logging.ERROR)
        do(executor, loggers.log, LOGGER, "info", "two")
        logger.setLevel(logging.INFO)
        do(executor, loggers.log, LOGGER, "info", "three")
    assert seen.texts() == ["one", "three"]


def test_logging_disable_of_the_parent_holds_too(process, seen):
    logging.disable(logging.INFO)
    try:
        with process.start(actors.Do) as executor:
            do(executor, loggers.log, LOGGER, "info", "disabled")
            do(executor, loggers.log, LOGGER, "warning", "not disabled")
    finally:
        logging.disable(logging.NOTSET)
    assert seen.texts() == ["not disabled"]


def test_an_exception_crosses_as_its_traceback(process, seen):
    with process.start(actors.Do) as executor:
        do(executor, loggers.log_exception, LOGGER)
    (record,) = seen.records
    assert record.exc_info is None
    assert "ZeroDivisionError" in record.exc_text
    assert "ZeroDivisionError" in logging.Formatter().format(record)


def test_extra_values_cross_if_they_are_plain_and_as_text_otherwise(process, seen):
    with process.start(actors.Do) as executor:
        do(executor, loggers.log_extra, LOGGER)
    (record,) = seen.records
    assert record.plain == {"a": [1, 2.5, None]}
    assert record.odd == "Odd()"
    assert record.number == 10


def test_a_record_that_cannot_be_formatted_harms_nobody(process, seen, capfd):
    with process.start(actors.Do) as executor:
        do(executor, loggers.log, LOGGER, "info", "%d", "not a number")
        do(executor, loggers.log, LOGGER, "info", "next")
    assert seen.texts() == ["next"]
    assert "not a number" in capfd.readouterr().err


def test_a_handler_that_raises_harms_nobody(process, logger, capfd):
    class Raises(logging.Handler):
        def emit(self, record):
            raise ValueError("of the handler")

    handler = Raises()
    logger.addHandler(handler)
    try:
        with process.start(actors.Do) as executor:
            for _ in range(3):
                do(executor, loggers.log, LOGGER, "info", "text")
            assert do(executor, tasks.echo, 1) == 1
    finally:
        logger.removeHandler(handler)
    assert capfd.readouterr().err.count("ValueError: of the handler") == 3


def test_a_handler_may_wait_for_the_actor_that_logs(process, logger):
    """It runs on no thread that brings answers."""
    answers = []

    class Asks(logging.Handler):
        def emit(self, record):
            answers.append(do(executor, tasks.echo, "asked"))

    handler = Asks()
    logger.addHandler(handler)
    try:
        with process.start(actors.Do) as executor:
            do(executor, loggers.log, LOGGER, "info", "text")
            do(executor, loggers.log, LOGGER, "info", "text")
            programs.wait_until(lambda: answers == ["asked", "asked"], PATIENCE)
    finally:
        logger.removeHandler(handler)


def test_a_thread_that_holds_a_handlers_lock_can_wait_for_the_actor(process, seen):
    with process.start(actors.Do) as executor:
        seen.acquire()
        try:
            do(executor, loggers.log, LOGGER, "info", "one")
            assert do(executor, tasks.echo, 1) == 1
        finally:
            seen.release()
        seen.wait_for(1)


def test_a_handler_may_shut_the_actor_down(process, logger):
    class Ends(logging.Handler):
        def emit(self, record):
            executor.shutdown()

    handler = Ends()
    logger.addHandler(handler)
    try:
        executor = process.start(actors.Do)
        do(executor, loggers.log, LOGGER, "info", "text")
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.post(1)
        executor.shutdown()
    finally:
        logger.removeHandler(handler)


def test_what_was_logged_before_death_arrives(process, seen):
    with process.start(actors.Do) as executor:
        error = executor.post((loggers.log_and_exit, LOGGER, "last words")).exception(PATIENCE)
        assert seen.texts() == ["last words"]
        assert error.started


def test_what_a_module_logs_when_it_is_imported_arrives(process, seen, tmp_path, monkeypatch):
    source = f"import logging\nlogging.getLogger({LOGGER!r}).info('imported')\n"
    (tmp_path / "logs_at_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with process.start(actors.Do) as executor:
        do(executor, tasks.look_at, "logs_at_import:__name__")
    assert seen.texts() == ["imported"]


def test_what_the_constructor_logs_arrives_though_it_raises(process, seen):
    with loggers.LogsAndFails.executor(LOGGER) as executor:
        assert executor.post(1).exception(PATIENCE)
    assert seen.texts() == ["constructed"]


def test_another_thread_of_the_child_may_log(process, seen):
    with process.start(actors.Do) as executor:
        do(executor, loggers.log_from_threads, LOGGER, 4, 250)
    assert len(seen.records) == 1000
    for number in range(4):
        texts = [text for text in seen.texts() if text.startswith(f"{number} ")]
        assert texts == [f"{number} {index}" for index in range(250)]


def test_what_the_child_configures_works_besides(process, seen, tmp_path):
    path = tmp_path / "log"
    with process.start(actors.Do) as executor:
        do(executor, loggers.configure, path)
        do(executor, loggers.log, LOGGER, "info", "to both")
    assert path.read_text() == "INFO:to both\n"
    assert seen.texts() == ["to both"]


def test_a_grandchild_is_named(process, seen):
    with process.start(actors.Do) as executor:
        do(executor, loggers.log_in_child, LOGGER)
    (record,) = seen.records
    assert record.actor == "ProcessDo"
    assert record.getMessage() == "from a grandchild"


@pytest.mark.skipif(sys.platform != "linux", reason="forks in the child")
def test_a_fork_of_the_child_does_not_write_into_its_link(process, seen):
    with process.start(actors.Do) as executor:
        assert do(executor, loggers.log_in_fork, LOGGER) == 0
        assert do(executor, tasks.echo, 1) == 1
    assert seen.records == []


def test_logging_is_not_imported_before_the_childs_code_does(script):
    """In a program of its own: its fork server has not started anything that needs it."""
    source = """if True:
        import actors, loggers, logging, sys, tasks
        with actors.ProcessDo.executor() as executor:
            asked = executor.post((tasks.loaded, "logging", "futures_actors._process.log"))
            assert asked.result(30) == []
            loader, finders = executor.post((loggers.loader_of_logging,)).result(30)
        assert loader == type(logging.__loader__).__name__
        # Windows has no resource tracker.
        expected = ["multiprocessing", "its resource tracker"]
        if sys.platform == "win32":
            expected.pop()
        assert finders.count("_WhenLoaded") == len(expected), expected
    """
    script(source).check()


def test_records_are_shown_where_nobody_configured_anything(script):
    source = """if True:
        import actors, loggers
        with actors.ProcessDo.executor() as executor:
            executor.post((loggers.log, "a", "info", "not shown")).result()
            executor.post((loggers.log, "a", "warning", "shown once")).result()
    """
    ended = script(source)
    assert (ended.status, ended.err) == (0, "shown once\n")


def test_a_program_that_exits_shows_what_its_actors_log(script):
    source = """if True:
        import actors, loggers, logging
        logging.basicConfig(level="INFO", format="%(processName)s %(message)s")
        executor = actors.ProcessDo.executor()
        for number in range(300):
            executor.post((loggers.log, "a", "info", "%d", number))
    """
    ended = script(source)
    assert ended.status == 0
    assert ended.err.splitlines() == [f"ProcessDo {number}" for number in range(300)]


def test_a_preloaded_logging_is_set_up_too(script):
    source = """if True:
        import actors, futures_actors, loggers
        futures_actors.preload("logging")
        with actors.ProcessDo.executor() as executor:
            executor.post((loggers.log, "a", "warning", "said")).result()
    """
    ended = script(source)
    assert (ended.status, ended.err) == (0, "said\n")


def test_no_thread_handles_records_where_none_are(process):
    before = len(programs.threads_of_this_process())
    with process.start(actors.Do) as executor:
        do(executor, tasks.echo, os.getpid())
        assert len(programs.threads_of_this_process()) == before + 1
