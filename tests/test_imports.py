"""Imports run one way: a module may import those that stand before it in ORDER."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: One line a floor; modules of one floor don't import each other, a package stands for all that is in it.
ORDER = (
    ("core.backoff", "core.findings", "core.validation_messages", "core.printable"),
    ("core.errors",),
    ("core.measures",),
    ("core.model",),
    ("core.context", "core.settings"),
    ("core.hookspecs", "core.http", "core.storage"),
    ("core.logs", "core.plugin_host", "core.retention", "core.web.player"),
    ("core.callbacks", "core.process"),
    ("core.pipeline",),
    ("core.redis",),
    ("core.queue",),
    ("core.job_index", "core.statements"),
    ("core.jobs",),
    ("core.pod",),
    ("core.worker",),
    ("core.actors", "core.doctor", "core.visitors", "core.webhook"),
    ("core.web",),
    ("core.cli",),
)

#: What plugins may import of core: its public names, and the modules whose names those are.
PUBLIC = (
    "core",
    "core.backoff",
    "core.context",
    "core.errors",
    "core.hookspecs",
    "core.http.sessions",
    "core.validation_messages",
    "core.model",
    "core.testing",
)

#: What plugins share; it imports none of them.
SHARED = "plugins.media"

#: Imported under plugins/ only, and there inside the function that needs it: a host has what its own steps need.
HEAVY = ("av", "numpy", "PIL", "ralph", "silero_vad", "torch", "whisper")


def modules(top: str) -> list[str]:
    files = (ROOT / top).rglob("*.py")
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files)


def tree(module: str) -> ast.Module:
    path = ROOT / Path(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_bytes())


def imports(node: ast.AST, *, deep: bool = True) -> Iterator[str]:
    """Name what `node` imports when it runs, hence not what stands under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "imports are absolute"
            yield from (_module_or_name(child.module or "", alias.name) for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        elif deep or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(child, deep=deep)


def _module_or_name(module: str, name: str) -> str:
    """Answer `core.storage.files` for `from core.storage import files`, but `core` for `from core import Job`."""
    inside = ROOT / Path(*module.split(".")) / name
    return f"{module}.{name}" if inside.is_dir() or inside.with_suffix(".py").exists() else module


def everything(module: str) -> set[str]:
    """Return what a module imports, at the top, within functions and for its types alone."""
    nodes = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {name for node in nodes for name in imports(ast.Module([node], []))}


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("module", modules("core"))
def test_a_module_of_core_imports_only_what_lies_below_it(module: str) -> None:
    floor = next((floor for floor in ORDER if within(module, floor)), ())
    own = tuple(package for package in floor if within(module, (package,)))
    below = tuple(package for lower in takewhile(lambda one: one is not floor, ORDER) for package in lower)
    if module in ("core", "core.testing"):  # the public names, for authors of plugins
        below, own = tuple(package for level in ORDER for package in level), ("core",)
    assert own, f"{module} has no place in ORDER"
    wrong = [name for name in imports(tree(module)) if within(name, ("core",)) and not within(name, below + own)]
    assert not wrong


@pytest.mark.parametrize("module", modules("core"))
def test_core_never_imports_plugins(module: str) -> None:
    assert not [name for name in imports(tree(module)) if within(name, ("plugins",))]


@pytest.mark.parametrize("module", [one for one in modules("core") if one != "core.testing"])
def test_core_never_imports_what_a_single_step_needs(module: str) -> None:
    assert not [name for name in imports(tree(module)) if within(name, HEAVY)]


@pytest.mark.parametrize("module", modules("plugins"))
def test_a_plugin_imports_core_s_public_names_its_own_modules_and_what_plugins_share(module: str) -> None:
    own = ".".join(module.split(".")[:2])
    ours = [name for name in imports(tree(module)) if within(name, ("core", "plugins"))]
    assert not [name for name in ours if name not in PUBLIC and not within(name, (own, SHARED))]


@pytest.mark.parametrize("plugin", sorted(path.parent.name for path in ROOT.glob("plugins/*/__init__.py")))
def test_loading_a_plugin_needs_nothing_but_core(plugin: str) -> None:
    name = f"plugins.{plugin}"
    wrong = [one for one in imports(tree(name), deep=False) if within(one, (*HEAVY, name))]
    assert not wrong, "import it inside the hook that needs it"


@pytest.mark.parametrize("top", ["core", "plugins"])
def test_nothing_imports_itself_by_way_of_others(top: str) -> None:
    known = set(modules(top)) - {"core"}  # whose public names stand for all floors
    left = {module: (everything(module) & known) - {module} for module in known}
    while free := [module for module, names in left.items() if not names & left.keys()]:
        for module in free:
            del left[module]
    assert not left


@pytest.mark.parametrize(
    "folder", sorted({str(Path(*one.split(".")[:-1])) for one in modules("core") + modules("plugins")})
)
def test_a_folder_holds_no_more_modules_than_one_looks_through(folder: str) -> None:
    assert len([path for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"]) <= 15


@pytest.mark.parametrize("module", modules("core") + modules("plugins"))
def test_a_module_is_no_longer_than_one_reads(module: str) -> None:
    path = ROOT / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 350
