"""Writes the README as the package's page needs it: `.ci/package_readme.py FILE`, in place.

The page is on the package index, so relative links and pictures become absolute. `.ci/wheel` calls
this on a copy of the tree, and CI before it builds what it publishes.
"""

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

ROOT = Path(__file__).parents[1]
# The target of a Markdown link, or of a picture in HTML.
RELATIVE = re.compile(r"(\]\(|src(?:set)?=\")(?![a-z]+:|#)([^)\"#]+)")


def package_page(readme: str) -> str:
    """Return the README with absolute links, and pictures from where they can be fetched."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    repository = project["urls"]["Source"]

    def absolute(link: re.Match[str]) -> str:
        opening, path = link.groups()
        if path.endswith(".svg"):
            # The repository's own pages show a file's text, this shows the picture.
            return f"{opening}{repository}/raw/main/{path}"
        return f"{opening}{repository}/blob/main/{path}"

    return RELATIVE.sub(absolute, readme)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(package_page(file.read_text()))
