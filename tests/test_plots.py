"""The pictures and the tables of the speed are those of the committed measurement."""

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLOTS = [sys.executable, str(ROOT / "bench" / "plots.py")]
MEASURED = ROOT / "bench" / "measured.json"


def draw(root, measured):
    (root / "docs").mkdir()
    for page in ("README.md", "docs/speed.md"):
        shutil.copy(ROOT / page, root / page)
    command = [*PLOTS, str(measured), "--root", str(root)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_pictures_and_tables_are_of_the_committed_measurement(tmp_path):
    """If not: make bench-plots."""
    assert draw(tmp_path, MEASURED).returncode == 0
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) >= 6
    for path in made:
        assert (ROOT / path).read_text() == (tmp_path / path).read_text(), path
    committed = {path.name for path in (ROOT / "docs" / "plots").iterdir()}
    assert committed == {path.name for path in (tmp_path / "docs" / "plots").iterdir()}


def test_a_picture_names_every_contender_and_has_its_median(tmp_path):
    assert draw(tmp_path, MEASURED).returncode == 0
    rows = {row["row"]: row for row in json.loads(MEASURED.read_text())["rows"]}
    for scheme in ("light", "dark"):
        picture = ET.parse(tmp_path / "docs" / "plots" / f"processes-{scheme}.svg")
        texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
        assert rows["process-round-trip"]["samples"].keys() <= texts


def test_many_sizes_of_arrays_make_curves(tmp_path):
    measured = json.loads(MEASURED.read_text())
    row = next(row for row in measured["rows"] if row["row"].startswith("array-"))
    sizes = ("4-kib", "64-kib", "1-mib", "64-mib")
    measured["rows"] = [{**row, "row": f"array-{size}"} for size in sizes]
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(measured))
    assert draw(tmp_path, path).returncode == 0
    picture = (tmp_path / "docs" / "plots" / "arrays-light.svg").read_text()
    assert picture.count("<circle") == len(sizes) * len(row["samples"])
    for size in ("4 KiB", "64 KiB", "1 MiB", "64 MiB"):
        assert f">{size}<" in picture


@pytest.mark.parametrize("change", [{"is_fast": True}])
def test_a_smoke_test_is_not_drawn(tmp_path, change):
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(json.loads(MEASURED.read_text()) | change))
    ended = draw(tmp_path, path)
    assert ended.returncode == 2
    assert "--fast" in ended.stderr
