"""`make bench-polling`: what it costs that two sides poll for each other before they sleep.

It builds two wheels of this tree, one of which never polls, and compares the CPU time that a
message takes in both processes together: at 100 messages a second, and one by one with a limit on
CPU time. It needs two CPUs.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import against
import report

BOUND = 1.1
ROUNDS = 9
WARM_UP = 100
PACED = 200
PACE_S = 0.01
ONE_BY_ONE = 5000
#: The limit: so much in each period, in microseconds.
QUOTA, PERIOD = 50_000, 100_000
KINDS = ("Thread", "Process")


class NoLimitError(Exception):
    """This process may not limit its CPU time."""


@contextlib.contextmanager
def limited():
    """Make a control group with half a CPU, and yield the file to which a process writes its id."""
    root = Path("/sys/fs/cgroup")
    old = root / "cpu" / "cpu.cfs_quota_us"
    group = (root / "cpu" if old.exists() else root) / f"polling-{os.getpid()}"
    try:
        group.mkdir()
        if old.exists():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(QUOTA))
        else:
            (group / "cpu.max").write_text(f"{QUOTA} {PERIOD}")
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise NoLimitError(str(error)) from error
    try:
        yield group / "cgroup.procs"
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def one_sample(kind, case):
    """In a process of its own: return the CPU time and the time of a message in nanoseconds."""
    import actors

    if case != "paced":
        Path(case).write_text(str(os.getpid()))
    with getattr(actors, f"{kind}Counter").executor() as executor:
        child = kind == "Process"
        # Each on a CPU of its own: on the same one they never poll.
        here, *_, there = sorted(os.sched_getaffinity(0))
        executor.submit(os.sched_setaffinity, 0, {there}).result()
        os.sched_setaffinity(0, {here})

        def cpu():
            there = executor.submit(time.process_time_ns).result() if child else 0
            return time.process_time_ns() + there

        def send(count):
            start = time.perf_counter()
            for number in range(count):
                if case == "paced":
                    time.sleep(max(0.0, start + number * PACE_S - time.perf_counter()))
                executor.post(0).result()

        send(WARM_UP)
        count = PACED if case == "paced" else ONE_BY_ONE
        before, start = cpu(), time.perf_counter_ns()
        send(count)
        took = time.perf_counter_ns() - start
        return {"cpu": (cpu() - before) / count, "ns": took / count}


def sample(side, *arguments):
    done = subprocess.run(
        [side.command[0], __file__, *arguments], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def compare(sides, kind, case):
    samples = {side.name: [] for side in sides}
    for number in range(ROUNDS):
        for side in sides[:: -1 if number % 2 else 1]:
            samples[side.name].append(sample(side, kind, case))
    return samples.values()


def line(kind, name, samples, quantity):
    mine, theirs = ([one[quantity] for one in those] for those in samples)
    low, middle, high = report.three_quartiles([a / b for a, b in zip(mine, theirs, strict=True)])
    what = {"cpu": "CPU", "ns": "time"}[quantity]
    medians = " ".join(f"{statistics.median(those) / 1e3:8.2f} µs" for those in (mine, theirs))
    told = f"  {kind:<8} {name:<22} {what:<5} {medians}   {middle:.3f}  ({low:.3f} .. {high:.3f})"
    if quantity == "ns":
        return told
    return f"{told}   <= {BOUND}: {'met' if middle <= BOUND else 'missed'}"


def main():
    polls = against.side("polls", against.ROOT, against.PLACE / "today")
    os.environ["RUSTFLAGS"] = "--cfg never_polls"
    never = against.side("never", against.ROOT, against.PLACE / "never polls")
    report.print_machine(report.machine())
    print("of a message: with polling, without, and the ratio of the two (quartiles)")
    for kind in KINDS:
        samples = compare((polls, never), kind, "paced")
        print(line(kind, "100 a second", samples, "cpu"), flush=True)
        try:
            with limited() as group:
                samples = compare((polls, never), kind, str(group))
        except NoLimitError as error:
            print(f"  {kind:<8} half a CPU: not measured, {error}")
            continue
        for quantity in ("cpu", "ns"):
            print(line(kind, "one by one, half a CPU", samples, quantity), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one_sample(*sys.argv[1:])))
    else:
        main()
