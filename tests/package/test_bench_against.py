"""The comparison of two commits: which rows it calls slower, and what ends it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

BENCH = Path(__file__).parents[2] / "bench"


SLOW_BY_A_MILLISECOND = """
import time
handle = work.Counter.handle
def slow(self, message):
    time.sleep(0.001)
    return handle(self, message)
work.Counter.handle = slow
"""
ANSWERS_ANOTHER = """
work.Counter.handle = lambda self, message: 7
"""
HAS_NO_ACTORS = """
def starter(self):
    raise contenders.NotYetError("there are no actors yet")
contenders.ThreadActor.starter = starter
"""


def against(calls):
    """Run `calls` in a process of its own, as against.py might."""
    imports = f"import sys; sys.path.insert(0, {str(BENCH)!r})\nimport against"
    return subprocess.run(
        [sys.executable, "-c", f"{imports}\n{calls}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def compared(first, second="", row="thread-round-trip"):
    """Compare this package with itself, each side changed by some source."""
    before = f"import sys; sys.path.insert(0, {str(BENCH)!r})\nimport contenders, work"
    names = zip(("today", "before"), (first, second), strict=True)
    sides = [
        (
            name,
            (
                sys.executable,
                "-c",
                f"{before}\n{changed}\nimport against_worker as worker\nworker.main()",
            ),
        )
        for name, changed in names
    ]
    calls = f"sides = [against.Side(*side) for side in {sides!r}]\n"
    return against(calls + f"sys.exit(against.run(sides, [{row!r}], rounds=4, is_fast=True))")


def verdict(today, before):
    """What is said of a row in which the two sides took so many nanoseconds."""
    calls = f"""
one = against.Compared("a-row", "free")
for today, before in zip({today!r}, {before!r}):
    one.add("today", {{"ns": today, "shares_cpu": today % 2 == 0}})
    one.add("before", {{"ns": before, "shares_cpu": None}})
print(against.line(one))
sys.exit(against.judge([one]))
"""
    done = against(calls)
    assert done.stderr == ""
    return done


def test_row_is_slower_if_three_quarters_of_its_rounds_are():
    before = [100] * 16
    slower = verdict([106] * 13 + [90] * 3, before)
    assert (slower.returncode, "SLOWER: a-row (free)" in slower.stdout) == (1, True)
    mixed = verdict([150] * 11 + [90] * 5, before)
    assert (mixed.returncode, "no row is slower" in mixed.stdout) == (0, True)
    within = verdict([105] * 16, before)
    assert (within.returncode, "no row is slower" in within.stdout) == (0, True)


def test_ratios_are_of_rounds_and_not_of_medians():
    drifting = [100, 200, 300, 400, 500, 600, 700, 800]
    slower = verdict([1.1 * ns for ns in drifting], drifting)
    assert slower.returncode == 1
    assert "1.100  (1.100 .. 1.100)" in slower.stdout


def test_share_of_rounds_on_one_cpu_is_each_side_s_own():
    done = verdict([100, 101, 102, 104], [100] * 4)
    assert done.stdout.splitlines()[0].split()[-3:] == ["75", "%", "-"]


def test_side_that_is_slower_fails_the_comparison():
    done = compared(SLOW_BY_A_MILLISECOND)
    assert done.returncode == 1, done.stderr
    assert "SLOWER: thread-round-trip" in done.stdout.splitlines()[-1]
    quicker = compared("", SLOW_BY_A_MILLISECOND)
    assert quicker.returncode == 0, quicker.stderr
    assert quicker.stdout.splitlines()[-1] == "no row is slower"


def test_side_that_computes_something_else_ends_the_comparison():
    done = compared("", ANSWERS_ANOTHER)
    assert done.returncode == 1
    reason = "FAILED: before, row thread-round-trip: WrongAnswerError: futures_actors answered"
    assert reason in done.stderr


def test_row_that_a_commit_has_not_yet_is_printed_and_not_judged():
    done = compared("", HAS_NO_ACTORS)
    assert done.returncode == 0, done.stderr
    assert "not yet: before: there are no actors yet" in done.stdout


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be pinned here")
def test_row_is_compared_on_one_core_where_both_ends_share_it():
    done = compared("", "", "process-round-trip")
    assert done.returncode in (0, 1), done.stderr
    lines = done.stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("  process-round-trip   one core"))
    assert line.count("100 %") == 2


def tree_of(name, folder):
    """Make the sources of a program that says `name`, which maturin can build."""
    sources = {
        "pyproject.toml": '[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"\n'
        '[tool.maturin]\nbindings = "bin"\n',
        "Cargo.toml": '[package]\nname = "says"\nversion = "0.1.0"\nedition = "2021"\n'
        "[workspace]\n",
        "Cargo.lock": 'version = 3\n\n[[package]]\nname = "says"\nversion = "0.1.0"\n',
        "src/main.rs": f'fn main() {{ println!("built of {name}"); }}\n',
    }
    for path, text in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.mark.skipif(
    not (Path(sys.executable).parent / "maturin").exists(), reason="maturin is not installed here"
)
def test_each_side_is_built_from_its_own_sources(tmp_path):
    # All sources are older than all that is built.
    trees = {name: tree_of(name, tmp_path / name / "tree") for name in ("today", "before")}
    for name, tree in trees.items():
        place = tmp_path / name
        done = against(
            f"from pathlib import Path\nagainst.build(Path({str(tree)!r}), Path({str(place)!r}))"
        )
        assert done.returncode == 0, done.stderr
        (wheel,) = (place / "wheel").glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (program,) = (packed.read(one) for one in packed.namelist() if "/scripts/" in one)
        assert f"built of {name}".encode() in program


def test_bench_against_refuses_what_is_no_commit():
    done = against("against.main(['no-such-commit'])")
    assert done.returncode == 1
    assert "'no-such-commit' names no commit of this repository" in done.stderr
