#!/usr/bin/env python3
"""Run the scenarios of bugs found earlier, and compare with the list of expected failures.

    .ci/found.py FOLDER PYTHON [NAME...]

FOLDER has a `run.py` that runs them and prints a line for each, `NAME PASS|FAIL|HANG|SKIP (more)`.
The package is installed in PYTHON. The exit code is 1 if a scenario fails that is not in the list
below, or if one in the list passes: then it must be removed from the list.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

#: Scenarios that do not pass yet, each with the reason.
EXPECTED_TO_FAIL = {}
VERDICT = re.compile(r"^([a-z]\w*) +(PASS|FAIL|HANG|SKIP)\b")


def main(folder: str, python: str, *names: str) -> int:
    """Run the scenarios and print each result that is not as expected."""
    run = Path(folder) / "run.py"
    if not run.is_file():
        print(f"no scenarios in {folder}: none ran")
        return 0
    command = [sys.executable, str(run), *names]
    environment = dict(os.environ, PY=str(Path(python).absolute()))
    verdicts = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if found := VERDICT.match(line):
                verdicts[found[1]] = found[2]
    bad = {name for name, verdict in verdicts.items() if verdict in ("FAIL", "HANG")}
    for name in sorted(bad & EXPECTED_TO_FAIL.keys()):
        print(f"{name} is expected to fail; it needs {EXPECTED_TO_FAIL[name]}")
    unexpected = sorted(bad - EXPECTED_TO_FAIL.keys())
    if unexpected:
        print("These must pass:", ", ".join(unexpected))
    passed = [name for name in sorted(EXPECTED_TO_FAIL) if verdicts.get(name) == "PASS"]
    if passed:
        print(f"These pass now, take them off the list in {__file__}:", ", ".join(passed))
    if not verdicts:
        print(f"{run} ran nothing")
    return 1 if unexpected or passed or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
