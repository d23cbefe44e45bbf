"""Runs CPython's own future and executor tests on this package; `test_cpython` starts it.

The tests are those that the running interpreter has installed. Their modules are imported and some
of their globals replaced: `Future` by `ActorFuture`, the pools by executors of actors that take a
pool's arguments. `listing` says which tests
there are and which are skipped, `run` runs some of them and writes how each ended, a line each.
"""

import faulthandler
import functools
import importlib
import json
import os
import pkgutil
import sys
import time
import types
from concurrent import futures
from pickle import UnpicklingError

from futures_actors import ActorFuture, ProcessActor, ThreadActor
from futures_actors.process_actor import ProcessActorExecutor
from futures_actors.thread_actor import ThreadActorExecutor

SUITE = "test.test_concurrent_futures"
PATIENCE = 60  # seconds that one of CPython's tests may take before it counts as hung

# The executors. They have the names of the pools that they replace, because programs that some
# tests start import them by name.


class _Worker:
    def __init__(self, initializer, initargs):
        if initializer is not None:
            initializer(*initargs)


class ThreadWorker(_Worker, ThreadActor):
    pass


class ProcessWorker(_Worker, ProcessActor):
    pass


class _BeginsBeforeShutdown:
    """Some tests assume that a pool has begun what was submitted when `shutdown` is called. An
    actor may not have begun yet, and would cancel all of it."""

    first = ()

    def submit(self, fn, /, *args, **kwargs):
        future = super().submit(fn, *args, **kwargs)
        if self.first == ():
            first = self.first = [future]
            future.add_done_callback(lambda _: first.clear())
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        while cancel_futures and not all(future.running() for future in self.first):
            time.sleep(0.001)
        super().shutdown(wait, cancel_futures=cancel_futures)


class ThreadPoolExecutor(_BeginsBeforeShutdown, ThreadActorExecutor):
    def __new__(cls, max_workers=None, thread_name_prefix="", initializer=None, initargs=()):
        return super().__new__(cls, ThreadWorker, initializer, initargs)


class ProcessPoolExecutor(_BeginsBeforeShutdown, ProcessActorExecutor):
    def __new__(cls, max_workers=None, mp_context=None, initializer=None, initargs=()):
        return super().__new__(cls, ProcessWorker, initializer, initargs)


# Which tests, and which not.

#: The base classes of a test class say which pool it tests. Three classes differ only in how the
#: pool starts its processes, which does not matter for an actor. Of these the one is used that
#: promises a child the least.
KINDS = {"ThreadPoolMixin": "thread", "ProcessPoolSpawnMixin": "process", "FutureTests": "future"}

_SEVERAL = "presupposes several workers: an actor is one"
_FIELDS = "looks into private fields of a pool: "

#: (kind, name of a test or of a class) -> why it is skipped. Nothing else is.
SKIPPED = {
    ("thread", "test_max_workers_negative"): _SEVERAL,
    ("thread", "test_default_workers"): _FIELDS + "_max_workers",
    ("thread", "test_saturation"): _SEVERAL,
    ("thread", "test_idle_thread_reuse"): _SEVERAL,
    ("thread", "test_threads_terminate"): _SEVERAL,
    ("thread", "test_context_manager_shutdown"): _FIELDS + "_threads",
    ("thread", "test_del_shutdown"): _FIELDS + "_threads",
    ("thread", "test_shutdown_no_wait"): _FIELDS + "_threads",
    ("thread", "test_thread_names_assigned"): _FIELDS + "_threads",
    ("thread", "test_thread_names_default"): _FIELDS + "_threads",
    ("thread", "ThreadPoolFailingInitializerTest"): _FIELDS + "_broken",
    ("process", "test_max_workers_negative"): _SEVERAL,
    ("process", "test_saturation"): _SEVERAL,
    ("process", "test_idle_process_reuse_one"): _SEVERAL,
    ("process", "test_idle_process_reuse_multiple"): _SEVERAL,
    ("process", "test_max_tasks_per_child"): _SEVERAL + ", and is not replaced",
    ("process", "test_max_tasks_per_child_defaults_to_spawn_context"): _FIELDS + "_mp_context",
    ("process", "test_max_tasks_early_shutdown"): _SEVERAL + ", and is not replaced",
    ("process", "test_python_finalization_error"): _FIELDS + "the threads that it starts",
    ("process", "test_killed_child"): _FIELDS + "_processes",
    ("process", "test_traceback"): _FIELDS + "_RemoteTraceback",
    ("process", "test_processes_terminate"): _SEVERAL,
    ("process", "test_context_manager_shutdown"): _FIELDS + "_processes",
    ("process", "test_del_shutdown"): _FIELDS + "_processes",
    ("process", "test_shutdown_no_wait"): _FIELDS + "_processes",
    ("process", "ProcessPoolSpawnFailingInitializerTest"): (
        "gives a process a multiprocessing.Queue, which only multiprocessing's own can have; "
        + _FIELDS
        + "_broken"
    ),
    ("process", "test_shutdown_deadlock_pickle"): _FIELDS + "_executor_manager_thread",
    ("process", "test_gh105829_should_not_deadlock_if_wakeup_pipe_full"): (
        "replaces a private class of pools, _ThreadWakeup, so it would test nothing here"
    ),
}

#: Tests that a pool breaks and does not hang when a message or an answer cannot be unpickled. An
#: actor does not hang either, but there only that message fails, with what was raised.
RAISED = {
    "test_exit_at_task_unpickle": SystemExit,
    "test_error_at_task_unpickle": UnpicklingError,
    "test_exit_during_result_unpickle_in_result_handler": SystemExit,
    "test_error_during_result_unpickle_in_result_handler": UnpicklingError,
}


def listing():
    """Return [{kind, class, test, skip}], or a text that says why there are no tests."""
    import unittest

    try:
        modules = _import_suite(patch=lambda module: None)
    except (ImportError, unittest.SkipTest) as error:
        return f"Python {sys.version.split()[0]} ships no {SUITE}: {error}"
    found = []
    for case in _cases(modules):
        name = type(case).__name__
        test = case._testMethodName
        kind = _kind(type(case))
        skip = SKIPPED.get((kind, test)) or SKIPPED.get((kind, name))
        found.append({"kind": kind, "class": name, "test": test, "skip": skip})
    return found


def run(kind, class_name, tests, path):
    """Run some tests of a class and append {test, outcome, text} to a file, a line each."""
    import unittest

    _let_the_tracker_run_on()
    modules = _import_suite(functools.partial(_patch, kind=kind))
    suite = unittest.TestSuite()
    for case in _cases(modules):
        if type(case).__name__ == class_name and case._testMethodName in tests:
            suite.addTest(case)
    with open(path, "a") as file:  # noqa: PTH123 -- pathlib would be an import for this alone
        suite.run(_make_result(file))
    faulthandler.cancel_dump_traceback_later()


def _let_the_tracker_run_on():
    """Have the suite not wait for a resource tracker that this process shares with its actors.

    `multiprocessing` itself leaves such a tracker alone only from 3.11 on.
    """
    from multiprocessing import resource_tracker

    tracker = resource_tracker._resource_tracker
    stop = tracker._stop
    tracker._stop = lambda: None if tracker._pid is None else stop()


def _cases(modules):
    import unittest

    for module in modules:
        for value in list(vars(module).values()):
            is_case = isinstance(value, type) and issubclass(value, unittest.TestCase)
            if is_case and value.__module__ == module.__name__ and _kind(value):
                yield from map(value, unittest.TestLoader().getTestCaseNames(value))


def _kind(case_class):
    names = [base.__name__ for base in case_class.__mro__]
    return next((kind for name, kind in KINDS.items() if name in names), None)


def _import_suite(patch):
    """Import the suite's modules, calling `patch` on each before others import from it."""
    import unittest

    suite = importlib.import_module(SUITE)
    if not hasattr(suite, "__path__"):  # until Python 3.11 it is one file
        patch(suite)
        return [suite]
    names = {module.name for module in pkgutil.iter_modules(suite.__path__)}
    modules = []
    for name in sorted(names, key=lambda name: (name.startswith("test_"), name != "util", name)):
        try:
            modules.append(importlib.import_module(f"{SUITE}.{name}"))
        except unittest.SkipTest:  # it is for another build or system
            continue
        patch(modules[-1])
    return modules


def _patch(module, kind):
    if getattr(module, "Future", None) is futures.Future:
        module.Future = ActorFuture
    if hasattr(module, "create_future") and module.create_future.__module__ == module.__name__:
        for name, value in vars(module).items():  # PENDING_FUTURE and the like
            if type(value) is futures.Future:
                state, error, result = value._state, value._exception, value._result
                setattr(module, name, module.create_future(state, error, result))
    if getattr(module, "futures", None) is futures:
        module.futures = _standing_in(kind)
    if hasattr(module, "assert_python_ok"):
        module.assert_python_ok = functools.partial(_assert_python_ok, module.assert_python_ok)
    for name, value in list(vars(module).items()):
        if not isinstance(value, type) or value.__module__ != module.__name__:
            continue
        if name == "ThreadPoolMixin":
            value.executor_type = ThreadPoolExecutor
        if name == "ProcessPoolSpawnMixin":
            value.executor_type = ProcessPoolExecutor
        if name == "ExecutorDeadlockTest":
            value.TIMEOUT = PATIENCE / 2
            value._check_crash = _expecting_what_was_raised(value._check_crash)


def _expecting_what_was_raised(check):
    def check_crash(self, error, *args, **kwargs):
        return check(self, RAISED.get(self._testMethodName, error), *args, **kwargs)

    return check_crash


def _standing_in(kind):
    """Return `concurrent.futures` with one of the pools replaced."""

    class Package(types.ModuleType):
        def __getattr__(self, name):
            return getattr(futures, name)

    package = Package("concurrent.futures")
    if kind == "thread":
        package.ThreadPoolExecutor = ThreadPoolExecutor
    if kind == "process":
        package.ProcessPoolExecutor = ProcessPoolExecutor
    return package


def _assert_python_ok(original, *args, **env):
    """Have the program that a test starts import the executors from here."""
    old, new = "from concurrent.futures import ", f"from {__name__} import "
    args = [arg.replace(old, new) for arg in args]
    return original(*args, **{"PYTHONPATH": os.environ["PYTHONPATH"], **env})


def _make_result(file):
    import unittest

    from test import support

    class Result(unittest.TestResult):
        def startTest(self, test):
            super().startTest(test)
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=sys.__stderr__)
            self.outcome, self.texts = "passed", []

        def stopTest(self, test):
            # Created again, because the last test's clean-up has ended it.
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=sys.__stderr__)
            if support.environment_altered:
                support.environment_altered = False
                self._failed("it left threads or processes behind, see stderr")
            self._write(test._testMethodName)
            super().stopTest(test)

        def addSkip(self, test, reason):
            self.outcome, self.texts = "skipped", [reason]

        def addFailure(self, test, err):
            self._failed(self._exc_info_to_string(err, test))

        def addError(self, test, err):
            self._failed(self._exc_info_to_string(err, test))
            if not isinstance(test, unittest.TestCase):  # of a whole module
                self._write(None)

        def addSubTest(self, test, subtest, err):
            if err is not None:
                self._failed(f"{subtest}: {self._exc_info_to_string(err, test)}")

        def addUnexpectedSuccess(self, test):
            self._failed("an unexpected success")

        def _failed(self, text):
            self.outcome = "failed"
            self.texts.append(text)

        def _write(self, test):
            line = {"test": test, "outcome": self.outcome, "text": "\n".join(self.texts)}
            file.write(json.dumps(line) + "\n")
            file.flush()

    result = Result()
    result.outcome, result.texts = "passed", []
    return result
