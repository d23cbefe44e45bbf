"""A hook of mkdocs: what is public and has no docstring is a warning, so a strict build fails.

It reads the sources as the reference does, stub included, and imports nothing of them.
"""

from pathlib import Path

import griffe
from mkdocs.plugins import get_plugin_logger

SOURCES = Path(__file__).parent.parent / "python"
MODULES = ("futures_actors", "futures_actors.ray")

log = get_plugin_logger("docstrings")


def undocumented(name, member):
    """Yield the names of the classes, functions and methods in `member` that say nothing."""
    if member.is_class or member.is_function:
        if member.docstring is None:
            yield name
        for inner, each in member.all_members.items() if member.is_class else ():
            if not inner.startswith("_"):
                yield from undocumented(f"{name}.{inner}", each)


def on_pre_build(config):  # noqa: ARG001 - mkdocs passes it by name
    """Look before the pages are made."""
    loader = griffe.GriffeLoader(search_paths=[SOURCES], allow_inspection=False)
    package = loader.load("futures_actors")
    for module in MODULES:
        found = package if module == package.path else package[module.partition(".")[2]]
        for name in found.exports:
            for missing in undocumented(f"{module}.{name}", found[name]):
                log.warning("%s has no docstring", missing)
