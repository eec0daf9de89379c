"""Imports only go down, nothing goes round, and the light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "fathom"

LAYERS = {
    **dict.fromkeys(("version", "errors"), -1),
    **dict.fromkeys(("runtime", "preprocess", "layers", "regularize", "spread"), 0),
    **dict.fromkeys(("models", "data"), 1),
    **dict.fromkeys(("costs", "evaluate", "norm_lab", "weights"), 2),
    **dict.fromkeys(("features", "training", "tta"), 3),
    **dict.fromkeys(("classifier", "keeps", "ledger", "recipes", "figures"), 4),
    **dict.fromkeys(("ablation", "look", "preview", "transfer"), 5),
    **dict.fromkeys(("doctor", "experiments"), 6),
    "report": 7,
    **dict.fromkeys(("explorer", "website"), 8),
    "cli": 9,
    **dict.fromkeys(("__main__", "__init__"), 10),
}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below `fathom`."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCE.rglob("*.py")
    }


def imports_of(path: Path, known: set[str], *, lazy: bool) -> set[str]:
    """Modules of the package that a file imports; lazy counts those inside functions, too."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree)) if lazy else list(tree.body)
    found = set()
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            inside = [f"{node.module}.{a.name}" for a in node.names]
            names = [n if n.removeprefix("fathom.") in known else node.module or "" for n in inside]
        for name in names:
            inner = name.removeprefix("fathom.")
            if name.startswith("fathom.") and inner in known:
                found.add(inner)
    return found


def test_every_module_has_a_layer() -> None:
    assert {name.split(".")[0] for name in modules()} <= set(LAYERS)


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_only_go_down(name: str) -> None:
    if name == "__init__":
        return  # the public door opens on every floor
    known = modules()
    mine = LAYERS[name.split(".")[0]]
    for other in imports_of(known[name], set(known), lazy=True):
        theirs = LAYERS[other.split(".")[0]]
        same_package = other.split(".")[0] == name.split(".")[0]
        assert theirs < mine or same_package, f"fathom.{name} imports fathom.{other}"


def test_no_module_imports_itself_through_others() -> None:
    known = modules()
    graph = {name: imports_of(path, set(known), lazy=False) for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name in done:
            return
        for other in graph[name]:
            visit(other, (*above, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    "statement",
    [
        "import fathom; fathom.list_models(); fathom.model_card('resnet50')",
        "import fathom; fathom.Recipe",
        "import fathom.cli.app",
    ],
)
def test_light_modules_leave_torch_alone(statement: str) -> None:
    code = f"{statement}\nimport sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("floor", ["training.session", "classifier", "recipes.registry"])
def test_lower_floors_need_no_command_line_packages(floor: str) -> None:
    code = (
        f"import sys, fathom.{floor}\n"
        "sys.exit(any(m in sys.modules for m in ('cyclopts', 'rich', 'plotly')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
