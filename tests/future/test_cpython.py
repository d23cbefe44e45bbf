"""CPython's own tests of futures, `wait`, `as_completed` and executors, on `ActorFuture` and on
actors through `submit`: each of them is a test here, named after it. `cpython_suite` runs them, in
a process for each of CPython's classes, and says which are skipped and why."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass

import pytest

import programs

PATIENCE = 150  # seconds for a whole class of CPython's


@dataclass(frozen=True)
class Case:
    kind: str
    class_name: str
    test: str

    def __str__(self):
        return f"{self.kind}-{self.class_name}.{self.test}"


@functools.cache
def _listing(folder):
    source = "import json, cpython_suite; print(json.dumps(cpython_suite.listing()))"
    ended = programs.run(source, "command", folder)
    assert ended.status == 0, ended
    return json.loads(ended.out)


def pytest_generate_tests(metafunc):
    if "case" not in metafunc.fixturenames:
        return
    found = _listing(metafunc.config.rootpath)
    if isinstance(found, str):
        found = [pytest.param(None, id="none", marks=pytest.mark.skip(reason=found))]
    else:
        found = [_parameter(**one) for one in found]
    metafunc.parametrize("case", found)


def _parameter(kind, test, skip, **rest):
    case = Case(kind, rest["class"], test)
    marks = [pytest.mark.skip(reason=f"{case}: {skip}")] if skip else []
    return pytest.param(case, id=str(case), marks=marks)


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """Run those tests of a class that were selected, once; return what came of each."""
    selected = defaultdict(list)
    for item in request.session.items:
        case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
        if isinstance(case, Case) and not item.get_closest_marker("skip"):
            selected[case.kind, case.class_name].append(case.test)

    @functools.cache
    def run(kind, class_name):
        tests = selected[kind, class_name]
        folder = tmp_path_factory.mktemp(class_name)
        path = folder / "outcomes"
        source = f"import cpython_suite; cpython_suite.run{kind, class_name, tests, str(path)}"
        said = _run(source, folder)
        lines = path.read_text().splitlines() if path.exists() else []
        return {line["test"]: line for line in map(json.loads, lines)}, said

    return run


def _run(source, folder):
    """Run a program, whatever processes it leaves behind; return what it and they said."""
    said = folder / "said"
    with said.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", source],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=programs.environment(),
            start_new_session=True,
        )
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            status = f"not ended within {PATIENCE} s"
        with contextlib.suppress(ProcessLookupError):  # as it should be
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(programs.PATIENCE)
    return f"{said.read_text()}\nexit status: {status}"


@pytest.mark.timeout(PATIENCE + 30)
def test_it_passes(case, outcomes):
    found, said = outcomes(case.kind, case.class_name)
    assert None not in found, f"{case.class_name}: {found[None]['text']}"
    assert case.test in found, f"{case} did not end: {said}"
    text = found[case.test]["text"]
    if found[case.test]["outcome"] == "skipped":
        pytest.skip(f"{case}: CPython skips it: {text}")
    assert found[case.test]["outcome"] == "passed", f"{case}:\n{text}\n{said}"
