"""The pictures and the tables of the speed are those of the committed measurement."""

import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the group `plots` has it")

ROOT = Path(__file__).parents[2]
PLOTS = [sys.executable, str(ROOT / "bench" / "plots.py")]
MEASURED = ROOT / "bench" / "measured.json"
PEERS = ROOT / "bench" / "measured-peers.json"


def number(value):
    """As the bench spells it. Its folder must not be on the path: it has an `actors`, too."""
    spec = importlib.util.spec_from_file_location("bench_report", ROOT / "bench" / "report.py")
    report = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(report)
    return report.number(value)


def draw(root, measured, peers=PEERS):
    (root / "docs" / "guides").mkdir(parents=True)
    for page in ("README.md", "docs/index.md", "docs/speed.md", "docs/guides/ray.md"):
        shutil.copy(ROOT / page, root / page)
    command = [*PLOTS, str(measured), str(peers), "--root", str(root)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder in which the committed measurement was drawn."""
    root = tmp_path_factory.mktemp("drawn")
    assert draw(root, MEASURED).returncode == 0
    return root


def test_pictures_and_tables_are_of_the_committed_measurement(drawn):
    """If not: make bench-plots."""
    made = sorted(path.relative_to(drawn) for path in drawn.rglob("*") if path.is_file())
    assert len(made) >= 14
    for path in made:
        assert (ROOT / path).read_text() == (drawn / path).read_text(), path
    committed = {path.name for path in (ROOT / "docs" / "plots").iterdir()}
    assert committed == {path.name for path in (drawn / "docs" / "plots").iterdir()}


@pytest.mark.parametrize(("path", "prefix"), [(MEASURED, ""), (PEERS, "peers-")])
def test_a_picture_names_every_contender_and_has_its_median(drawn, path, prefix):
    rows = {row["row"]: row for row in json.loads(path.read_text())["rows"]}
    for scheme in ("light", "dark"):
        picture = ET.parse(drawn / "docs" / "plots" / f"{prefix}processes-{scheme}.svg")
        texts = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
        for row in ("process-round-trip", "process-post-all", "process-in-flight"):
            assert rows[row]["samples"].keys() | rows[row]["not_yet"].keys() <= texts
            medians = map(statistics.median, rows[row]["samples"].values())
            assert set(map(number, medians)) <= texts


def test_peers_are_measured_in_the_rows_that_they_can_do():
    rows = {row["row"]: row for row in json.loads(PEERS.read_text())["rows"]}
    assert "pykka ThreadingActor" in rows["thread-round-trip"]["samples"]
    peers = {"loky ProcessPoolExecutor(1)", "Ray actor", "Dask actor"}
    assert peers <= rows["process-round-trip"]["samples"].keys()
    versions = json.loads(PEERS.read_text())["machine"]["versions"]
    assert "not installed" not in {versions[name] for name in ("loky", "pykka", "ray", "dask")}


def test_the_guide_to_ray_says_what_the_speed_page_draws():
    rows = {row["row"]: row for row in json.loads(PEERS.read_text())["rows"]}
    samples = rows["process-round-trip"]["samples"]
    theirs = statistics.median(samples["Ray actor"])
    ours = statistics.median(samples["futures_actors RayActor"])
    guide = (ROOT / "docs" / "guides" / "ray.md").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert f"| process: round trip | {number(theirs)} µs | {number(ours / theirs)} x |" in guide


def test_what_a_contender_could_not_do_is_said_in_its_place(tmp_path):
    measured = json.loads(PEERS.read_text())
    row = next(row for row in measured["rows"] if row["row"] == "process-round-trip")
    del row["samples"]["Dask actor"]
    row["not_yet"] = {"Dask actor": "WrongAnswerError: it answered 118"}
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(measured))
    assert draw(tmp_path, MEASURED, path).returncode == 0
    assert "it answered 118" in (tmp_path / "docs/plots/peers-processes-light.svg").read_text()
    assert "wrong answers |" in (tmp_path / "docs/speed.md").read_text()


def test_many_sizes_of_arrays_make_curves(tmp_path):
    measured = json.loads(MEASURED.read_text())
    row = next(row for row in measured["rows"] if row["row"].startswith("array-"))
    sizes = ("4-kib", "64-kib", "1-mib", "64-mib")
    measured["rows"] = [{**row, "row": f"array-{size}"} for size in sizes]
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(measured))
    assert draw(tmp_path, path).returncode == 0
    picture = (tmp_path / "docs" / "plots" / "arrays-light.svg").read_text()
    curves = ET.fromstring(picture).iterfind(".//{*}g[@id]")
    curves = {curve.get("id"): curve for curve in curves}
    for name in row["samples"]:
        markers = list(curves[f"curve of {name}"].iter("{http://www.w3.org/2000/svg}use"))
        assert len(markers) == len(sizes)
    for size in ("4 KiB", "64", "1 MiB", "64"):  # the unit is said where it changes
        assert f">{size}<" in picture


@pytest.mark.parametrize("change", [{"is_fast": True}])
def test_a_smoke_test_is_not_drawn(tmp_path, change):
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(json.loads(MEASURED.read_text()) | change))
    ended = draw(tmp_path, path)
    assert ended.returncode == 2
    assert "--fast" in ended.stderr
