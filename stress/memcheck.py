"""`make valgrind`: runs the stress suite in its shortest form under valgrind's memcheck.

It checks every process that takes part.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: valgrind prints these when it does not know a newer system call. They are not errors.
NOT_FAULTS = (
    "WARNING: unhandled",
    "You may be able",
    "Read the file README",
    "Nevertheless we",
    "it at ",
)

ENVIRONMENT = {"PYTHONMALLOC": "malloc", "STRESS_PATIENCE": "900"}


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *("valgrind", "--quiet", "--trace-children=yes", f"--log-file={folder}/%p"),
            f"--suppressions={Path(__file__).with_name('libc.supp')}",
            # valgrind does not support pidfd, which the fork server needs, so children are spawned.
            *(sys.executable, str(Path(__file__).with_name("run.py"))),
            *("--tiny", "--start-method", "spawn", *sys.argv[1:]),
        ]
        done = subprocess.run(command, check=False, env=os.environ | ENVIRONMENT)
        logs = [path.read_text() for path in Path(folder).iterdir()]
    faults = [line for log in logs for line in log.splitlines() if not is_noise(line)]
    print("\n".join(faults[:200]))
    errors = sum("at 0x" in line for line in faults)
    print(f"memcheck {len(logs)} processes, {errors} errors")
    sys.exit(done.returncode or bool(faults))


def is_noise(line):
    return any(text in line for text in NOT_FAULTS)


if __name__ == "__main__":
    main()
