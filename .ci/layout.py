"""Checks which file imports which: no circles, and no imports upward through the floors below.

In Rust it reads `use` declarations and the paths that begin with `crate::` or `super::`, including
those in tests. In Python it reads all imports, including those inside functions, except those that
only a type checker sees. An import counts for the file that defines the name, not for a file that
re-exports it.
"""

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

# The floors, from the top: a file or folder may only import from lower floors, or from itself. A
# tree without floors is only searched for circles.
FLOORS = {
    "src": ("py", "engine"),
    "src/py": (
        "child",
        "pool",
        "process remote thread",
        "executor",
        "reference",
        "host",
        "asynchronous",
        "stream",
        "current",
        "future",
        "message",
        "actor answer codec faults options",
        "interpreter",
    ),
    "src/engine": (
        "handoff holding loads roster waits",
        "arena cell mailbox stream",
        "ipc room",
        "convoy ending latch pace plain restarts",
        "chimes",
        "sys",
        "ring sync",
    ),
    "python/futures_actors": (
        "__main__ __pyinstaller ray",
        "_demo _event_loop _ray process_actor thread_actor",
        "_pool",
        "_base_actor _options",
        "_reference",
        "_answers _awaits _class_options _loop_streams _own _pickling _process _proxy _stream",
        "_awaiting _heartbeat _interrupts _loops",
        "_errors _future _start_methods _stats _tasks _types",
        "_texts",
    ),
}


class Import(NamedTuple):
    """A line that imports another file. A file is named by its path's parts, without suffix."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    line: int


class Tree:
    """The files of one language under a folder."""

    def __init__(self, repository, folder, suffix, tops):
        """Find the files. A file with a name in `tops` stands for its folder."""
        self.repository = Path(repository)
        self.folder = Path(folder)
        self.files = {}
        root = self.repository / folder
        for path in sorted(root.rglob(f"*{suffix}")):
            parts = path.relative_to(root).with_suffix("").parts
            self.files[parts[:-1] if parts[-1] in tops else parts] = path
        self.handed_on = defaultdict(lambda: defaultdict(set))

    def name(self, parts):
        """Return a file's path in the repository."""
        return self.files[parts].relative_to(self.repository).as_posix()

    def module_of(self, parts):
        """Split a path of names into the file that it leads to and the rest."""
        for length in range(len(parts), -1, -1):
            if parts[:length] in self.files:
                return parts[:length], parts[length:]
        return None, parts

    def resolve(self, parts, seen=frozenset()):
        """Return the files that define the end of a path of names: one for each condition."""
        module, rest = self.module_of(parts)
        if not rest or (module, rest[0]) in seen:
            return {module} - {None}
        name = rest[0]
        onward = set(self.handed_on[module].get(name, ()))
        for glob in self.handed_on[module].get("*", ()):
            if name in self.handed_on[self.module_of(glob[:-1])[0]]:
                onward.add((*glob[:-1], name))
        seen |= {(module, name)}
        found = (self.resolve(names + rest[1:], seen) for names in onward)
        return set().union(*found) or {module} - {None}


COMMENT_OR_STRING = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | b?r(\#*)".*?"\1 | b?"(?:\\.|[^"\\])*" | '(?:\\.[^']*|[^'\\])'""",
    re.DOTALL | re.VERBOSE,
)
RUST = re.compile(
    r"""(?P<open>\{) | (?P<close>\}) | \bmod\s+(?P<module>\w+)\s*\{
    | \buse\s+(?P<use>[^;]+);
    | pub\s*\(\s*in[^)]*\)
    | (?<![\w:])(?P<path>(?:crate|super)(?:::\w+)+)""",
    re.VERBOSE,
)


def rust_imports(tree):
    """Return the imports of a Rust tree."""
    found = []
    for module, path in tree.files.items():
        text = COMMENT_OR_STRING.sub(
            lambda match: "\n" * match[0].count("\n"), path.read_text(encoding="utf-8")
        )
        for here, match in in_modules(text, module):
            line = text.count("\n", 0, match.start()) + 1
            for path_of_names, name in leaves(match["use"] or match["path"]):
                target = absolute(tree, here, path_of_names)
                if target is not None:
                    found.append((module, target, line))
                    if match["use"] and here == module:
                        tree.handed_on[module][name].add(target)
    return found


def in_modules(text, module):
    """Yield each `use` and each path of a file, with the module around it."""
    scopes = []
    for match in RUST.finditer(text):
        if match["open"]:
            scopes.append(None)
        elif match["module"]:
            scopes.append(match["module"])
        elif match["close"]:
            scopes.pop()
        elif match["use"] or match["path"]:
            yield module + tuple(name for name in scopes if name), match


def leaves(use):
    """Yield each path of a `use`, and the name that the file gives it."""
    use = use.strip()
    if "{" in use:
        prefix, _, inner = use.partition("{")
        for part in split_at_commas(inner.strip().removesuffix("}")):
            yield from leaves(prefix + part.strip())
        return
    path, _, name = use.partition(" as ")
    path = "".join(path.split()).removesuffix("::self")
    if path and not path.endswith("::"):
        yield path, name.strip() or path.rpartition("::")[2]


def split_at_commas(text):
    """Split the inside of a brace at the commas that are not inside an inner brace."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            yield part
            part = ""
        else:
            part += letter
    yield part


def absolute(tree, here, path):
    """Return a path's names from the root of the crate, or None if it is of another crate."""
    first, *rest = path.split("::")
    if first == "crate":
        return tuple(rest)
    if first in ("self", "super"):
        while first == "super":
            here = here[:-1]
            first, *rest = rest or ("",)
            if first != "super":
                rest = [first, *rest]
        return (*here, *rest)
    return (*here, first, *rest) if (*here, first) in tree.files else None


def python_imports(tree, package):
    """Return the imports of a Python package."""
    found = []
    for module, path in tree.files.items():
        is_package = path.name == "__init__.py"
        body = ast.parse(path.read_text(encoding="utf-8"))
        for node, names in import_statements(body):
            for name, bound in names:
                target = imported(node, name, module, package, is_package=is_package)
                if target is not None:
                    found.append((module, target, node.lineno))
                    tree.handed_on[module][bound].add(target)
    return found


def import_statements(node):
    """Yield each import below a node that is executed at run time, and its names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, [(alias.name, alias.asname or alias.name) for alias in child.names]
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield from import_statements(ast.Module([other], []))
        else:
            yield from import_statements(child)


def imported(node, name, module, package, *, is_package):
    """Return an import's names from the root of the package, or None if it is of another one."""
    if isinstance(node, ast.Import):
        path = name.split(".")
    elif node.level:
        base = module if is_package else module[:-1]
        base = base[: len(base) - node.level + 1]
        return (*base, *(node.module.split(".") if node.module else ()), name)
    else:
        path = [*node.module.split("."), name]
    return tuple(path[1:]) if path[0] == package else None


def imports_between_files(tree, found):
    """Return those of the imports by which one file imports another file of the tree."""
    return sorted(
        {
            Import(source, file, line)
            for source, target, line in found
            for file in tree.resolve(target) - {source}
        }
    )


def circles(imports):
    """Return the sets of files that import each other in a loop."""
    below = defaultdict(set)
    for each in imports:
        below[each.source].add(each.target)
    reached = {}
    for source in list(below):
        reached[source], todo = set(), [source]
        while todo:
            for target in below[todo.pop()] - reached[source]:
                reached[source].add(target)
                todo.append(target)
    found = {
        frozenset(target for target in targets if source in reached.get(target, ()))
        for source, targets in reached.items()
        if source in targets
    }
    return sorted(found, key=sorted)


def floor_of(parts, floors):
    """Return the number of a file's floor, or None if it has no floor."""
    if parts:
        for number, rooms in enumerate(floors):
            if parts[0] in rooms.split():
                return number
    return None


def named_circles(tree, imports):
    """Yield lines that describe each circle."""
    for circle in circles(imports):
        yield "a circle of files: " + ", ".join(sorted(map(tree.name, circle)))
        for each in imports:
            if each.source in circle and each.target in circle:
                yield f"  {tree.name(each.source)}:{each.line} imports {tree.name(each.target)}"


def upward(tree, imports, folder, rooms):
    """Yield a line for each file of a folder that has no floor, and for each import upward."""
    prefix = Path(folder).relative_to(tree.folder).parts
    length = len(prefix)
    inside = {
        parts: parts[length:]
        for parts in tree.files
        if parts[:length] == prefix and parts != prefix
    }
    for parts, rest in inside.items():
        if floor_of(rest, rooms) is None:
            yield f"{tree.name(parts)} stands on no floor of {folder}"
    for each in imports:
        here, there = inside.get(each.source), inside.get(each.target)
        if here is None or there is None or here[0] == there[0]:
            continue
        mine, theirs = floor_of(here, rooms), floor_of(there, rooms)
        if mine is not None and theirs is not None and theirs <= mine:
            where = f"{tree.name(each.source)}:{each.line}"
            yield f"{where} imports {tree.name(each.target)}, which is not on a lower floor"


def check(repository, floors=FLOORS):
    """Return a line for each fault in the imports of a repository."""
    rust = Tree(repository, "src", ".rs", ("lib", "mod"))
    trees = [(rust, rust_imports(rust))]
    for package in sorted(Path(repository, "python").glob("*/__init__.py")):
        name = package.parent.name
        python = Tree(repository, f"python/{name}", ".py", ("__init__",))
        trees.append((python, python_imports(python, name)))
    wrong = []
    for tree, found in trees:
        imports = imports_between_files(tree, found)
        wrong += named_circles(tree, imports)
        for folder, rooms in floors.items():
            if Path(folder).is_relative_to(tree.folder):
                wrong += upward(tree, imports, folder, rooms)
    return wrong


if __name__ == "__main__":
    lines = check(Path())
    print("\n".join(lines) or "no circle of imports, and none upward")
    sys.exit(bool(lines))
