"""Tells PyInstaller, through an entry point, where the hook for this package is."""

import os


def get_hook_dirs() -> list[str]:
    """Return this folder."""
    return [os.path.dirname(__file__)]  # noqa: PTH120 - PyInstaller wants a str
