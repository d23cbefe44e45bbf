"""Tells PyInstaller about modules that are imported late, which its analysis does not see."""

from PyInstaller.utils.hooks import collect_submodules

_NOT_FOR_PROGRAMS = ("futures_actors.ray", "futures_actors._ray", "futures_actors.__pyinstaller")


def _is_wanted(name: str) -> bool:
    return not name.startswith(_NOT_FOR_PROGRAMS)


hiddenimports = [*collect_submodules("futures_actors", filter=_is_wanted), "cloudpickle"]
