"""A patch: the few modules in which a firmware differs from the one that an image has in it.

A frozen module runs from flash, one of a bundle from the heap. Boards whose heap has no room for a
whole firmware have room for some modules, which the loader puts in the place of the image's own
before anything else is imported. So each comes behind those that it imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from bridge.core.bundle import Manifest
from vitalkeep.board.bundle import Bundle, pack
from vitalkeep.board.compile import compile_firmware
from vitalkeep.board.kinds import Kind
from vitalkeep.errors import ToolError


def make_patch(firmware: Path, base: Path, kind: Kind, mpy: int) -> Bundle:
    """Return the bundle that turns one firmware into another; raises ToolError.

    firmware  folder of the new one; base: of the one that is in the image
    """
    new, old = (compile_firmware(folder, kind, mpy) for folder in (firmware, base))
    changed = {
        path.removesuffix(".mpy").replace("/", ".")
        for path, data in new.modules.items()
        if old.modules.get(path) != data
    }
    if not changed:
        raise ToolError(f"{firmware}: the same as {base}", "Change something, the version first.")
    if new.manifest.version == old.manifest.version:
        raise ToolError(
            f"{firmware}: version {new.manifest.version}, and so has {base}",
            "Give it another in bridge/release.py.",
        )
    for name in changed:
        path = name.replace(".", "/") + ".mpy"
        if name.endswith(".__init__") and path not in old.modules:
            raise ToolError(
                f"{path}: a package that the image has not", "It needs an image: vitalkeep flash."
            )
    order = [name for name in _in_order(firmware) if name in changed]
    order += sorted(changed - set(order))  # the wiring, which imports nothing
    paths = (name.replace(".", "/") + ".mpy" for name in order)
    modules = {f"p{number}.mpy": new.modules[path] for number, path in enumerate(paths)}
    facts = new.manifest
    manifest = Manifest(
        facts.version, facts.board, facts.mpy, facts.config, old.manifest.version, order
    )
    return pack(modules, manifest)


def _in_order(firmware: Path) -> list[str]:
    """Return all modules, each behind those that it imports; raises ToolError for a circle."""
    files = {
        ".".join(path.relative_to(firmware).with_suffix("").parts): path
        for path in sorted((firmware / "bridge").rglob("*.py"))
    }
    done: list[str] = []
    under_way: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in under_way:
            circle = " -> ".join([*under_way[under_way.index(name) :], name])
            raise ToolError(
                f"modules import each other: {circle}", "Nothing can come first there."
            )
        under_way.append(name)
        parts = name.split(".")
        for count in range(1, len(parts)):
            package = ".".join(parts[:count]) + ".__init__"
            if package in files and package not in under_way:
                visit(package)
        for needed in _imports(ast.parse(files[name].read_text()), files):
            if needed != name:
                visit(needed)
        done.append(under_way.pop())

    for name in files:
        visit(name)
    return done


def _imports(tree: ast.Module, files: dict[str, Path]) -> Iterator[str]:
    """Yield what is imported with a module, and the packages that this is in.

    What functions import comes when they are called.
    """
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            left += ast.iter_child_nodes(node)
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            for count in range(1, len(parts) + 1):
                part = ".".join(parts[:count])
                yield from (known for known in (part, part + ".__init__") if known in files)
