"""What type checkers make of the package: mypy and pyright agree on `typing/`, line by line, and
the stub says word for word what `help()` shows."""

import ast
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from futures_actors import _core

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "tests" / "typing").glob("*.py"))
STUB = Path(_core.__file__).with_name("_core.pyi")


def run(checker, *options):
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed here: it is in the group `types`")
    command = [sys.executable, "-m", checker, *options, *map(str, EXAMPLES)]
    return subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def found_by_mypy(tmp_path):
    ended = run("mypy", "--no-error-summary", f"--cache-dir={tmp_path}")
    assert ended.returncode in (0, 1), ended.stderr
    lines = re.findall(r"^(.+?):(\d+): error: (.*)$", ended.stdout, re.MULTILINE)
    return {(Path(path).name, int(number)): text for path, number, text in lines}


def found_by_pyright(tmp_path):
    ended = run("pyright", "--outputjson", "--pythonpath", sys.executable)
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1): each["message"]
        for each in json.loads(ended.stdout)["generalDiagnostics"]
    }


def expected(checker):
    return {
        (path.name, number)
        for path in EXAMPLES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (marked := re.search(r"  # E(?: (\w+))?$", line)) and marked[1] in (None, checker)
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("find", [found_by_mypy, found_by_pyright])
def test_the_checkers_find_the_marked_errors_and_no_other(find, tmp_path):
    found = find(tmp_path)
    wanted = expected(find.__name__.removeprefix("found_by_"))
    assert len(wanted) > 20
    unwanted = {place: found[place] for place in found.keys() - wanted}
    assert (wanted - found.keys(), unwanted) == (set(), {})


def documented(node, prefix="", shared=None):
    """Yield `(name, docstring)` of everything in the stub that has one.

    What several classes have in common is in a private base, and counts for each of them.
    """
    shared = {} if shared is None else shared
    for child in node.body:
        if isinstance(child, ast.ClassDef) and child.name.startswith("_"):
            shared[child.name] = child
        elif isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            name = f"{prefix}{child.name}"
            if text := ast.get_docstring(child):
                yield name, text
            if isinstance(child, ast.ClassDef):
                names = [ast.unparse(base).partition("[")[0] for base in child.bases]
                for part in [child, *(shared[base] for base in names if base in shared)]:
                    yield from documented(part, f"{name}.", shared)


@pytest.mark.parametrize(
    ("name", "text"),
    [pytest.param(*pair, id=pair[0]) for pair in documented(ast.parse(STUB.read_text()))],
)
def test_the_stub_says_what_help_shows(name, text):
    value = _core
    for part in name.split("."):
        value = getattr(value, part)
    assert inspect.cleandoc(value.__doc__) == text
