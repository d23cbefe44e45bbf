"""The scripts that only a release runs."""

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
