"""The stress suite in its short form; `make stress` is the long one."""

import subprocess
import sys

import pytest

import programs

STRESS = programs.SUPPORT.parents[1] / "stress"


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(
    "part", ["loops", "members", "model", "signals", "soak", "streams", "trips"]
)
def test_a_short_run_finds_nothing(part, tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(STRESS / "run.py"), "--short", part],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        env=programs.environment(),
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0" in done.stdout
    assert "leaks 0" in done.stdout
    assert done.stderr == ""
