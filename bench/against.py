"""`make bench-against REF`: shows which rows have become slower or quicker since another commit.

It builds a wheel of each commit with the release profile and installs each in an environment of its
own. Both run the bench of this tree, in the order A B, B A, A B ... The run fails if a row has
become slower. This file must not know what work a row does: `against_worker.py` does the work.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import report

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "target" / "against"
WORKER = Path(__file__).parent / "against_worker.py"
NEEDS = ("cloudpickle>=3.0", "numpy>=1.24")
ROWS = (
    "start-default",
    "start-spawn",
    "thread-round-trip",
    "thread-post-all",
    "thread-in-flight",
    "process-round-trip",
    "process-post-all",
    "process-in-flight",
    "array-64-kib",
    "array-1-mib",
)
#: A row has become slower if three quarters of its rounds show a larger ratio than this.
BOUND = 1.05
ROUNDS = 21
#: After so many rounds each side gets a new process, because the speed of a process depends on
#: where the system has put its memory.
ROUNDS_OF_A_PROCESS = 3
LEAST_ROUNDS = 15
COLUMNS = "  {:<20} {:<8} {:>10} {:>10} {:>8}  {:<17} {:>9} {:>9}  {}"


class SideFailedError(Exception):
    """A side raised an exception instead of answering."""


@dataclass(frozen=True)
class Side:
    """One of the two commits compared, and the interpreter that runs its worker."""

    name: str
    command: tuple[str, ...]


@dataclass
class Compared:
    """A row in one placement: for each round, both times in nanoseconds, and which shared a CPU."""

    row: str
    placement: str
    ns: dict[str, list[float]] = field(default_factory=dict)
    shared: dict[str, list[bool]] = field(default_factory=dict)
    not_yet: str = ""

    def add(self, name, told):
        self.ns.setdefault(name, []).append(told["ns"])
        if told["shares_cpu"] is not None:
            self.shared.setdefault(name, []).append(told["shares_cpu"])

    def ratios(self):
        """Divide the time of this tree by that of the other commit, round by round."""
        today, other = self.ns.values()
        return [mine / theirs for mine, theirs in zip(today, other, strict=True)]

    def is_slower(self):
        return not self.not_yet and report.three_quartiles(self.ratios())[0] > BOUND


class Worker:
    """The process that measures one side in one placement."""

    def __init__(self, side, cpus):
        self.side = side
        # The answers use a separate pipe: the worker's children inherit its standard output.
        reading, writing = os.pipe()
        command = [*side.command, str(writing), ",".join(map(str, cpus))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writing])
        os.close(writing)
        self.answers = os.fdopen(reading)

    def sample(self, row, *, is_fast):
        request = json.dumps({"row": row, "is_fast": is_fast}) + "\n"
        try:
            self.process.stdin.write(request.encode())
            self.process.stdin.flush()
            told = json.loads(self.answers.readline())
        except (OSError, ValueError) as error:
            raise SideFailedError(f"{self.side.name}, row {row}: it has ended") from error
        if "failed" in told:
            raise SideFailedError(f"{self.side.name}, row {row}: {told['failed']}")
        return told

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.answers.close()


def placements():
    """Return, by name, the CPUs on which both ends of a conversation may run."""
    if not hasattr(os, "sched_getaffinity"):
        return {"free": ()}
    usable = sorted(os.sched_getaffinity(0))
    return {"one core": usable[:1], "free": usable}


def compare(sides, rows=ROWS, rounds=ROUNDS, *, is_fast=False):
    """Compare every row in each placement."""
    places = placements()
    compared = [Compared(row, place) for row in rows for place in places]
    for first in range(0, rounds, ROUNDS_OF_A_PROCESS):
        some = range(first, min(first + ROUNDS_OF_A_PROCESS, rounds))
        run_some(sides, places, compared, some, is_fast=is_fast)
    return compared


def run_some(sides, places, compared, rounds, *, is_fast):
    """Run a few rounds of every row in newly started processes."""
    with contextlib.ExitStack() as opened:
        workers = {
            place: [opened.enter_context(contextlib.closing(Worker(side, cpus))) for side in sides]
            for place, cpus in places.items()
        }
        for one in compared:
            for at_round in rounds:
                pair = workers[one.placement]
                run_round(one, pair[:: -1 if at_round % 2 else 1], is_fast=is_fast)


def run_round(compared, pair, *, is_fast):
    for worker in pair:
        if compared.not_yet:
            return
        told = worker.sample(compared.row, is_fast=is_fast)
        if "not_yet" in told:
            compared.not_yet = f"{worker.side.name}: {told['not_yet']}"
        else:
            compared.add(worker.side.name, told)


def print_head(sides):
    today, other = (side.name for side in sides)
    print(f"ratio: the time of {today} / the time of {other}, round by round (quartiles)")
    print("one CPU: the share of rounds at whose end caller and actor were on the same CPU")
    print(f"a row is slower if the lower quartile is above {BOUND:g}\n")
    columns = ("row", "placement", today, other, "ratio", "quartiles", "one CPU", "", "")
    print(COLUMNS.format(*columns), flush=True)


def line(compared):
    if compared.not_yet:
        return f"  {compared.row:<20} {compared.placement:<8} not yet: {compared.not_yet}"
    low, middle, high = report.three_quartiles(compared.ratios())
    return COLUMNS.format(
        compared.row,
        compared.placement,
        *(microseconds(samples) for samples in compared.ns.values()),
        f"{middle:.3f}",
        f"({low:.3f} .. {high:.3f})",
        *(share(compared.shared.get(name)) for name in compared.ns),
        "SLOWER" if compared.is_slower() else "",
    )


def microseconds(samples):
    return f"{report.number(statistics.median(samples) / 1e3)} µs"


def share(shared):
    return f"{100 * sum(shared) / len(shared):.0f} %" if shared else "-"


def judge(all_compared):
    """Return the exit code."""
    slower = [f"{one.row} ({one.placement})" for one in all_compared if one.is_slower()]
    print(f"\nSLOWER: {', '.join(slower)}" if slower else "\nno row is slower")
    return 1 if slower else 0


def commit_of(ref):
    command = ["git", "-C", ROOT, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench-against: {ref!r} names no commit of this repository")
    return done.stdout.strip()


def build(tree, place):
    """Build the wheel of the tree into `place`."""
    wheels = place / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    # Build as for a release, even if the environment sets options for quick builds.
    quick = ("CARGO_PROFILE_RELEASE_", "CARGO_INCREMENTAL", "CARGO_TARGET_DIR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(quick)}
    maturin = [str(Path(sys.executable).parent / "maturin"), "build", "--release", "--locked"]
    # A directory for this side only. For Cargo two trees are the same package, which it compiles
    # again only if a source is newer than what it compiled last, even if that was the other tree.
    target = ["--target-dir", str(place / "build")]
    rest = ["--quiet", "--interpreter", sys.executable, "--out", str(wheels)]
    subprocess.run([*maturin, *target, *rest], cwd=tree, env=kept, check=True)
    (wheel,) = wheels.glob("*.whl")
    return wheel


def install(wheel, place):
    """Install the wheel in a new environment and return the interpreter of that environment."""
    python = place / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", place / "venv"], check=True)
        subprocess.run([*pip, *NEEDS], check=True)
    subprocess.run([*pip, "--no-deps", "--force-reinstall", wheel], check=True)
    return python


def side(name, tree, place):
    place.mkdir(parents=True, exist_ok=True)
    python = install(build(tree, place), place)
    return Side(name, (str(python), str(WORKER)))


def side_of_commit(ref, commit):
    """Build the wheel of a commit in a separate worktree, unless it was built before."""
    place = PLACE / commit
    done = place / "done"
    python = place / "venv" / "bin" / "python"
    if done.exists():
        return Side(ref, (str(python), str(WORKER)))
    git = ["git", "-C", str(ROOT), "worktree"]
    tree = place / "tree"
    # A run that was ended may have left a part of it.
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([*git, "prune"], check=True)
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
    try:
        made = side(ref, tree, place)
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)
        shutil.rmtree(place / "build", ignore_errors=True)
    done.touch()
    return made


def parse(argv):
    parser = argparse.ArgumentParser(prog="make bench-against", description=__doc__.split("\n")[0])
    parser.add_argument("ref", help="the commit to compare with")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows whose key contains a ROW")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"{ROUNDS}, if not given")
    arguments = parser.parse_args(argv)
    if arguments.rounds < LEAST_ROUNDS:
        parser.error(f"fewer than {LEAST_ROUNDS} rounds tell nothing")
    words = arguments.only or [""]
    arguments.rows = [row for row in ROWS if any(word in row for word in words)]
    if not arguments.rows:
        parser.error(f"no such row; there are: {', '.join(ROWS)}")
    return arguments


def main(argv=None):
    arguments = parse(argv)
    commit = commit_of(arguments.ref)
    sides = (side("today", ROOT, PLACE / "today"), side_of_commit(arguments.ref, commit))
    report.print_machine(report.machine())
    return run(sides, arguments.rows, arguments.rounds)


def run(sides, rows=ROWS, rounds=ROUNDS, *, is_fast=False):
    """Compare, print, and return the exit code."""
    print_head(sides)
    try:
        compared = compare(sides, rows, rounds, is_fast=is_fast)
    except SideFailedError as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    for one in compared:
        print(line(one).rstrip())
    return judge(compared)


if __name__ == "__main__":
    sys.exit(main())
