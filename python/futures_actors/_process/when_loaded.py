"""Calls a function when a module is first imported. Children have it, so it imports nothing."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


def when_loaded(name: str, then: "Callable[[], None]") -> None:
    """Call `then` when the module `name` is loaded; at once if it is loaded already."""
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _WhenLoaded(name, then))


class _WhenLoaded:
    """A finder and loader of one module, which calls a function after its first import."""

    def __init__(self, name: str, then: "Callable[[], None]") -> None:
        self._name = name
        self._then = then
        self._loader: Any = None

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, _target: object = None
    ) -> "ModuleSpec | None":
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        specs = (finder.find_spec(name, path) for finder in sys.meta_path)
        spec = next(filter(None, specs), None)
        if spec is not None:
            self._loader, spec.loader = spec.loader, self  # type: ignore[assignment]
        return spec

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: "ModuleType") -> None:
        # Leave no trace of this loader in the module.
        vars(module)["__spec__"].loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then()
