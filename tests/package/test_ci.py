"""The scripts that only a release runs."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
VERSION = re.search(r'^version = "(.*?)"', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize(
    ("tag", "status"),
    [(f"v{VERSION}", 0), (VERSION, 0), (f"v{VERSION}.1", 1), ("v0.0.0", 1), ("", 1)],
)
def test_a_tag_must_be_the_version_of_the_package(tag, status):
    ended = subprocess.run([REPOSITORY / ".ci/tag", tag], check=False, capture_output=True)
    assert ended.returncode == status
    assert not status or VERSION in ended.stderr.decode()
