"""The check of the layout finds circles of files and imports that run upward, and names them."""

import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FLOORS = {"src": ("high", "low"), "python/package": ("high", "low")}


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("layout", REPOSITORY / ".ci/layout.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check


@pytest.fixture
def write(tmp_path):
    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    write({"src/lib.rs": "mod high; mod low;", "python/package/__init__.py": ""})
    return write


CIRCLES = {
    "a use": {"src/high.rs": "use crate::low::{self, Thing};", "src/low.rs": "use super::high;"},
    "paths": {
        "src/high.rs": "fn high() { crate::low::low() }",
        "src/low.rs": "mod tests { use super::*; fn low() { super::super::high::high() } }",
    },
    "a parent's item": {
        "src/high/mod.rs": "mod part; use part::Part; pub struct Whole;",
        "src/high/part.rs": "use super::Whole; pub struct Part;",
    },
    "an item that is handed on": {
        "src/high/mod.rs": "mod one; mod two; pub use one::One; pub use two::Two as Second;",
        "src/high/one.rs": "use super::Second;",
        "src/high/two.rs": "use crate::high::One;",
    },
    "one of two modules of the same name": {
        "src/high/mod.rs": """
            mod linux; mod user; #[cfg(linux)] use linux as native; pub use user::*;
            #[cfg(not(linux))] use crate::low as native;
        """,
        "src/high/linux.rs": "use crate::high::user::User;",
        "src/high/user.rs": "use super::native::call;",
    },
    "modules of Python": {
        "python/package/high.py": "from . import low",
        "python/package/low.py": "from .high import thing",
    },
    "an import inside a function": {
        "python/package/high.py": "import package.low",
        "python/package/low.py": "def low():\n    from package import high\n",
    },
}


@pytest.mark.parametrize("files", CIRCLES.values(), ids=CIRCLES)
def test_a_circle_is_found_and_each_import_in_it_named(check, write, tmp_path, files):
    write(files)
    # A file that only hands names on is in no circle.
    one, two = sorted(name for name, text in files.items() if "pub use" not in text)
    circle, *imports = check(tmp_path, {})
    assert circle == f"a circle of files: {one}, {two}"
    named = {(line.split(":")[0].strip(), line.split()[-1]) for line in imports}
    assert named == {(one, two), (two, one)}


UPWARD = {
    "Rust": ("src/high.rs", {"src/low/mod.rs": "mod part;", "src/low/part.rs": "use crate::high;"}),
    "Python": (
        "python/package/high.py",
        {"python/package/low/part.py": "def part():\n    from package.high import thing\n"},
    ),
}


@pytest.mark.parametrize(("high", "files"), UPWARD.values(), ids=UPWARD)
def test_an_import_that_runs_upward_is_found_and_both_files_named(
    check, write, tmp_path, high, files
):
    write({high: "", **files})
    (line,) = check(tmp_path, FLOORS)
    assert "/low/part." in line
    assert f"imports {high}, which is not on a lower floor" in line


def test_a_file_without_a_floor_is_found(check, write, tmp_path):
    write({"src/new.rs": ""})
    assert check(tmp_path, FLOORS) == ["src/new.rs stands on no floor of src"]


def test_what_is_no_import_is_not_taken_for_one(check, write, tmp_path):
    write(
        {
            "src/high.rs": "use crate::low::Low;",
            "src/low.rs": """
            // use crate::high::Comment;
            /* crate::high::Comment */
            pub(in crate::high) const TEXT: &str = "use crate::high::Text; {";
            const BRACE: char = '{';
            use std::high::Elsewhere;
            use high::AnotherCrate;
            pub struct Low;
        """,
            "python/package/high.py": "from .low import low",
            "python/package/low.py": """
from typing import TYPE_CHECKING
import high
if TYPE_CHECKING:
    from .high import Type
""",
        }
    )
    assert check(tmp_path, FLOORS) == []
