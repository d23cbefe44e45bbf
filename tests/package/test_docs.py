"""The pages of `docs/`: every code block runs, and prints what the page says it prints.

The blocks of a page are one program, but for a block with a title, which is one of its own. The
blocks marked `text`, if it has any, are together what the page's program prints. Blocks marked `py`
are not run: they need libraries that no environment of the tests has.
"""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import futures_actors

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def programs():
    for page in PAGES:
        blocks = FENCE.findall(page.read_text())
        plain = [text for language, more, text in blocks if language == "python" and not more]
        printed = "".join(text for language, _, text in blocks if language == "text")
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        if plain:
            yield pytest.param("\n\n".join(plain), printed or None, id=name)
        for language, more, text in blocks:
            if language == "python" and more:
                yield pytest.param(text, None, id=f"{name}:{more.strip()}")


def test_there_are_programs():
    assert len(list(programs())) > 10


@pytest.mark.parametrize(("source", "printed"), list(programs()))
def test_each_program_of_the_documents_prints_what_they_say(script, source, printed):
    if "futures_actors.ray" in source:
        pytest.skip("make test-ray runs it")
    for module in re.findall(r"^import (pykka|numpy)", source, re.MULTILINE):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed here")
    ended = script(source)
    assert ended.status == 0, ended
    assert "Traceback" not in ended.err, ended
    if printed is not None:
        assert ended.out == printed


def members():
    for name in futures_actors.__all__:
        value = getattr(futures_actors, name)
        yield name, value
        if isinstance(value, type):
            for attribute in dir(value):
                member = getattr(value, attribute, None)
                ours = "futures_actors" in (getattr(member, "__module__", None) or "") or (
                    inspect.ismethoddescriptor(member) or inspect.isbuiltin(member)
                )
                if not attribute.startswith("_") and callable(member) and ours:
                    yield f"{name}.{attribute}", member


@pytest.mark.parametrize(
    ("name", "member"), [pytest.param(*pair, id=pair[0]) for pair in members()]
)
def test_all_that_is_public_is_documented(name, member):
    if isinstance(member, str):
        return
    assert member.__doc__, name
    reference = (ROOT / "docs" / "reference.md").read_text()
    if "." not in name:
        assert f"::: futures_actors.{name}\n" in reference


def test_the_test_files_that_the_pages_name_are_there():
    named = set()
    for page in ("promises.md", "where-it-runs.md"):
        named |= set(re.findall(r"`(\w+/test_\w+\.py)`", (ROOT / "docs" / page).read_text()))
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).is_file()] == []


def test_every_page_is_in_the_contents():
    contents = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES:
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in contents


def test_pictures_come_from_the_repository_in_light_and_dark():
    """So that looking at a page needs no network."""
    seen = set()
    for page in PAGES:
        text = page.read_text()
        assert "```mermaid" not in text, page
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            path, _, mode = target.partition("#only-")
            picture = (page.parent / path).resolve()
            assert picture.is_file(), f"{page}: {target}"
            assert path.endswith(f"-{mode}.svg"), f"{page}: {target}"
            assert not re.search(r"url\([\"']?(http|//)|href=\"(http|//)", picture.read_text())
            seen.add(picture)
    drawn = {path.with_suffix("") for path in (ROOT / "docs" / "diagrams").glob("*.mmd")}
    for diagram in drawn:
        for mode in ("light", "dark"):
            assert diagram.with_name(f"{diagram.name}-{mode}.svg") in seen


def test_the_files_and_folders_that_the_design_names_are_there():
    files = [
        path.relative_to(ROOT).as_posix()
        for folder in ("src", "python")
        for path in (ROOT / folder).rglob("*")
    ]
    folders = {f"{path}/" for path in files}
    named = re.findall(r"`([\w/.]+(?:\.rs|\.py|/))`", (ROOT / "docs" / "design.md").read_text())
    assert len(named) > 50
    known = [f"/{path}" for path in [*files, *folders]]
    assert [one for one in named if not any(path.endswith(f"/{one}") for path in known)] == []
