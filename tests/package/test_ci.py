"""The scripts that only CI and a release run."""

import os
import re
import shutil
import subprocess
import sys
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


def test_every_link_of_the_package_page_is_absolute_and_leads_to_a_file(tmp_path):
    page = tmp_path / "README.md"
    shutil.copy(REPOSITORY / "README.md", page)
    subprocess.run(
        [sys.executable, str(REPOSITORY / ".ci/package_readme.py"), str(page)], check=True
    )
    text = page.read_text()
    targets = re.findall(r"\]\(([^)]+)\)|src(?:set)?=\"([^\"]+)\"", text)
    links = [link or picture for link, picture in targets]
    assert len(links) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    own = [re.split(r"/(?:blob|raw)/main/", link) for link in links]
    paths = [rest[0].partition("#")[0] for _, *rest in own if rest]
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")
@pytest.mark.parametrize("broken", ["pip", "maturin", "python"])
def test_tests_on_another_python_have_not_passed_if_any_step_has_failed(tmp_path, broken):
    """Otherwise the tests could run with what an earlier build has installed."""
    script = tmp_path / ".ci/test-on"
    script.parent.mkdir()
    shutil.copy(REPOSITORY / ".ci/test-on", script)
    made = tmp_path / ".venv-9.99/bin"
    steps = [f"mkdir -p {made}"]
    for name in ("pip", "maturin", "python"):
        steps.append(f"printf '#!/bin/sh\\nexit {int(name == broken)}\\n' >{made}/{name}")
    programs = {"get-python": f"echo {tmp_path}/fake-python", "fake-python": "\n".join(steps)}
    programs["fake-python"] += f"\nchmod +x {made}/*"
    for name, source in programs.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{source}\n")
        path.chmod(0o755)
    environment = dict(os.environ, GET_PYTHON=str(tmp_path / "get-python"))
    ended = subprocess.run(
        [script, "9.99"], check=False, capture_output=True, text=True, env=environment
    )
    assert (ended.returncode, "FAILED on 9.99" in ended.stdout) == (1, True), ended
