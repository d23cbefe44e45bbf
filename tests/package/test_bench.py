"""The bench runs, prints every row, and refuses the figures of a contender that computed
something else.

Its figures are not judged here: `--fast` is a smoke test.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# All rows took 94 s where ten programs shared two processors.
pytestmark = pytest.mark.timeout(300)

BENCH = Path(__file__).parents[2] / "bench"
ROWS = {
    "start-default",
    "start-forkserver",
    "start-spawn",
    "thread-round-trip",
    "thread-round-trip-one-core",
    "thread-round-trip-busy",
    "thread-post-all",
    "thread-in-flight",
    "process-round-trip",
    "process-round-trip-one-core",
    "process-round-trip-busy",
    "process-post-all",
    "process-in-flight",
    "thread-turns-round-trip",
    "thread-turns-post-all",
    "process-turns-round-trip",
    "process-turns-post-all",
    "thread-stream",
    "process-stream",
    "process-stream-1024",
    "thread-to-thread",
    "thread-to-thread-one-core",
    "thread-to-thread-busy",
    "process-to-process",
    "process-to-process-one-core",
    "process-to-process-busy",
    "process-to-process-in-flight",
    "array-between",
    "thread-pool-in-flight",
    "thread-pool-of-one",
    "thread-pool-makespan",
    "process-pool-in-flight",
    "process-pool-of-one",
    "process-pool-makespan",
    "process-pool-makespan-shorter",
    "thread-async-round-trip",
    "process-async-in-flight",
    "thread-async-sleepers",
    "process-async-sleepers",
    "thread-memory",
    "process-memory",
    "array-4-kib",
    "array-16-kib",
    "array-64-kib",
    "array-256-kib",
    "array-1-mib",
    "array-4-mib",
    "array-16-mib",
    "array-64-mib",
    "array-one-way",
}
CHOSEN_START_METHOD = {"start-forkserver", "start-spawn"}

ANSWERS_UNASKED = """
contenders.ThreadPool.take = staticmethod(lambda future: 1)
"""
FORGETS_ITS_STATE = """
def open(self):
    super(contenders.ThreadPool, self).__init__(self.job)
    self.executor = contenders.futures.ThreadPoolExecutor(1)
    self.post = lambda message: self.executor.submit(work.Counter().handle, message)
contenders.ThreadPool.open = open
"""
HANDLES_THE_LAST_FIRST = """
def open(self):
    kept, tickets = work.Counter(), []
    self.post = lambda message: tickets.append(message) or len(tickets)
    self.take = lambda ticket: kept.handle(tickets.pop())
contenders.ThreadPool.open = open
contenders.ThreadPool.close = lambda self: None
"""
SENDS_NO_ARRAY = """
contenders.ProcessPool.open = contenders.ThreadPool.open
"""
ANSWERS_WITH_ANOTHER_ARRAY = """
echo = contenders.PipeLoop.echo
def changed(self, array):
    answer = echo(self, array)
    answer[7] = -7
    return answer
contenders.PipeLoop.echo = changed
"""
SENDS_TWO_TO_ONE = """
open_crew = contenders.Crew.open
def open(self):
    open_crew(self)
    self.executors[1:] = self.executors[:-1]
    posts = contenders.itertools.cycle([executor.post for executor in self.executors])
    self.post = lambda message: next(posts)(message)
contenders.Crew.open = open
"""
RAISES = """
def post(self, message):
    raise OSError("the pipe is gone")
contenders.BarePipe.post = post
"""
IS_A_PEER = """
contenders.BarePipe.limit_s = 1
"""
HANGS = """
import time
contenders.BarePipe.take = lambda self, ticket: time.sleep(60)
"""
HANGS_LATER = """
import time
take = contenders.BarePipe.take
def take_few(self, ticket):
    if self.handled > 150:  # the first round and its warm-ups
        time.sleep(60)
    return take(self, ticket)
contenders.BarePipe.take = take_few
"""
NO_PYKKA = """
sys.modules["pykka"] = None
"""
ROWS_ARE_SHORT = """
import measure
measure.ROW_LIMIT_S = 8
"""
CANNOT_YET = """
def starter(self):
    raise contenders.NotYetError("waits for issue 99")
contenders.ThreadActor.starter = starter
"""


def bench(*arguments, changed=None):
    """Run the bench in a process of its own, with contenders as the given source changes them."""
    command = [BENCH / "run.py"]
    if changed is not None:
        path = f"import sys; sys.path.insert(0, {str(BENCH)!r})"
        imports = "import cli, contenders, work"
        command = ["-c", f"{path}\n{imports}\n{changed}\nsys.exit(cli.main(sys.argv[1:]))"]
    return subprocess.run(
        [sys.executable, *command, "--fast", *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    file = tmp_path_factory.mktemp("bench") / "results" / "bench.json"
    done = bench("--json", str(file))
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_text())


def test_every_row_is_printed_after_the_machine(ran):
    printed, _ = ran
    assert printed.startswith("python:")
    assert all(f"{name}:" in printed for name in ("build", "versions", "cpu", "cores", "date"))
    assert all(f"[{key}]" in printed for key in ROWS)
    assert "targets: " in printed


def test_json_holds_every_sample(ran):
    _, told = ran
    assert {row["row"] for row in told["rows"]} == ROWS
    for row in told["rows"]:
        assert len(row["samples"]) + len(row["not_yet"]) >= 2
        for samples in row["samples"].values():
            assert len(samples) == row["repeats"]
            assert all(sample > 0 for sample in samples)


def test_every_contender_is_measured_in_every_row(ran):
    _, told = ran
    missing = {row["row"]: row["not_yet"] for row in told["rows"] if row["not_yet"]}
    for row, reasons in missing.items():
        allowed = "start_method" if row in CHOSEN_START_METHOD else "/proc/self/statm"
        assert all(allowed in reason for reason in reasons.values()), missing


def test_every_target_has_a_figure_when_its_contenders_have(ran):
    _, told = ran
    for row in told["rows"]:
        for target in row["targets"]:
            names = {row["subject"], target["reference"] or row["subject"]}
            is_measured = names <= row["samples"].keys()
            assert (target["figure"] is not None) == is_measured
            assert target["outcome"] in ({"met", "missed"} if is_measured else {"not measured"})


@pytest.mark.parametrize(
    ("cheat", "row", "name", "fault"),
    [
        (ANSWERS_UNASKED, "thread-round-trip", "ThreadPoolExecutor(1)", "answered message 1"),
        (FORGETS_ITS_STATE, "thread-round-trip", "ThreadPoolExecutor(1)", "answered message 1"),
        (HANDLES_THE_LAST_FIRST, "thread-in-flight", "ThreadPoolExecutor(1)", "answered message 0"),
        (SENDS_NO_ARRAY, "array-1-mib", "ProcessPoolExecutor(1)", "the sender's own array"),
        (ANSWERS_WITH_ANOTHER_ARRAY, "array-1-mib", "multiprocessing.Pipe loop", "another array"),
        (SENDS_TWO_TO_ONE, "thread-turns-post-all", "10 actors", "answered message 1 with"),
    ],
    ids=["unasked", "forgetful", "last-first", "sends-no-array", "another-array", "not-in-turn"],
)
def test_contender_that_computes_something_else_fails_the_bench(cheat, row, name, fault):
    done = bench("--only", row, changed=cheat)
    assert done.returncode == 1
    assert f"FAILED: {name}, row {row}: computed something else" in done.stderr
    assert fault in done.stderr
    assert f"[{row}]" not in done.stdout


def test_contender_that_raises_fails_the_bench():
    done = bench("--only", "process-round-trip", changed=RAISES)
    assert done.returncode == 1
    assert "FAILED: bare os.pipe echo, row process-round-trip: OSError" in done.stderr


def line_of(name, done):
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"  {name}"))
    return line


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (RAISES, "OSError: the pipe is gone"),
        (HANGS, "no answers within 1 s"),
        (HANGS_LATER, "1 rounds: its time was up"),
    ],
    ids=["raises", "hangs", "hangs-later"],
)
def test_peer_that_fails_or_hangs_is_printed_and_the_others_go_on(fault, told):
    done = bench("--only", "process-round-trip", changed=IS_A_PEER + fault)
    assert told in line_of("bare os.pipe echo", done)
    assert "(" in line_of("multiprocessing.Pipe loop", done)


@pytest.mark.parametrize(
    ("fault", "rounds", "told"),
    [(HANGS, 0, "not yet"), (HANGS_LATER, 1, "1 rounds")],
    ids=["hangs", "hangs-later"],
)
def test_row_whose_time_is_up_ends_with_what_it_has_and_the_others_go_on(
    fault, rounds, told, tmp_path
):
    file = tmp_path / "bench.json"
    rows = ("process-round-trip", "process-turns-post-all")
    done = bench("--json", str(file), "--only", *rows, changed=ROWS_ARE_SHORT + fault)
    assert done.returncode == 1
    assert done.stderr == ""
    first, second = json.loads(file.read_text())["rows"]
    assert (first["over"], second["over"]) == ("bare os.pipe echo", "")
    assert len(first["samples"].get("multiprocessing.Pipe loop", [])) == 2 * rounds
    assert all(second["samples"].values())
    reason = "the row's 8 s were up in the turn of bare os.pipe echo"
    assert f"  NOT WHOLE: {reason}" in done.stdout
    *_, targets, last = done.stdout.splitlines()
    assert targets.startswith("targets: ")
    assert last == f"NOT WHOLE: process-round-trip: {reason}"
    line = next(line for line in done.stdout.splitlines() if line.startswith("  bare os.pipe"))
    assert told in line


def test_round_trips_on_one_core_have_both_sides_there(ran):
    printed, told = ran
    for row in told["rows"]:
        if row["row"] in ("thread-round-trip-one-core", "process-round-trip-one-core"):
            assert row["shares_cpu"]
            assert all(all(shared) for shared in row["shares_cpu"].values())
    assert "on one CPU in 100 % of rounds" in printed


def test_busy_loops_end_with_their_row():
    done = bench("--only", "thread-round-trip-busy")
    assert done.returncode == 0, done.stderr
    loops = ("ps", "-eo", "ppid=,args=")
    left = subprocess.run(loops, capture_output=True, text=True, check=True).stdout
    # Of a process that has ended, children are the first one's, or some reaper's.
    assert not [line for line in left.splitlines() if line.split(None, 1) == ["1", LOOP]]


LOOP = f"{sys.executable} -c while True: pass"


def test_missing_peer_is_printed_with_the_reason():
    done = bench("--peers", "--only", "thread-round-trip", changed=NO_PYKKA)
    assert "not installed: " in line_of("pykka ThreadingActor", done)
    assert "ray not installed" in done.stdout or "ray 2" in done.stdout


def test_ratios_of_actors_in_turn_are_costs_against_one_actor(ran):
    printed, told = ran
    (row,) = (row for row in told["rows"] if row["row"] == "thread-turns-post-all")
    assert list(row["samples"]) == ["1 actor", "10 actors"]
    one, many = row["samples"]["1 actor"][0], row["samples"]["10 actors"][0]
    block = printed.partition("[thread-turns-post-all]")[2]
    line = next(line for line in block.splitlines() if line.startswith("  10 actors"))
    assert float(line.split()[6].replace(",", "")) == pytest.approx(many / one, rel=0.01)


def test_what_cannot_be_done_yet_is_printed_with_its_reason():
    done = bench("--only", "thread-round-trip", changed=CANNOT_YET)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "futures_actors  " in line)
    assert "not yet" in line
    assert "waits for issue 99" in line
    assert "<= 0.3: not measured" in done.stdout


def test_a_program_that_times_its_own_round_trips_is_a_row_s_limit(tmp_path):
    program = tmp_path / "limit"
    program.write_text("#!/bin/sh\nexpr $1 \\* 8800\n")
    program.chmod(0o755)
    done = bench("--only", "process-round-trip", "--limit", str(program))
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "limit (limit)" in line)
    assert "8.80" in line


def test_a_limit_may_have_arguments(tmp_path):
    program = tmp_path / "limit"
    program.write_text('#!/bin/sh\ntest "$1" = words && expr $2 \\* 8800\n')
    program.chmod(0o755)
    done = bench("--only", "process-round-trip", "--limit", f"{program} words")
    assert "8.80" in line_of("limit words (limit)", done)


def test_unknown_row_is_refused_with_the_names_of_all():
    done = bench("--only", "proces-round-trip")
    assert done.returncode == 2
    assert all(key in done.stderr for key in ROWS)
