"""Imports go down only, and what Dagster loads to draw the graph stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "infra": set(),
    "jobs": {"model", "infra"},
    "assets": {"infra", "jobs.images", "jobs.recipe", "jobs.specs", "jobs.sources.discover"},
    "pipelines": {"assets", "infra", "jobs.recipe"},
    "bench": {"model", "infra", "jobs", "assets", "pipelines"},
}
"""Our modules that each floor may import, besides its own; a package stands for all in it."""

LATE_ALLOWED = {"pipelines/cli"}
"""Folders whose functions may import jobs when they run: commands that need a model or a drawing."""


def imported(path: Path, late: bool = True) -> set[str]:
    """Names of the modules a file imports; without `late`, only what importing the file loads."""
    tree = ast.parse(path.read_text())
    body = list(ast.walk(tree)) if late else _at_import(tree)
    found = set()
    for node in body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which floor is meant"
            found.add(str(node.module))
    return found


def _at_import(tree: ast.AST) -> list[ast.AST]:
    """Nodes outside of functions and of `if TYPE_CHECKING`."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not guarded and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found += [node, *_at_import(node)]
    return found


def climbs(root: Path) -> list[str]:
    """Imports that go up, as `file imports module`."""
    problems = []
    for floor, allowed in MAY_IMPORT.items():
        for path in sorted((root / floor).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            late = not any(name.startswith(folder) for folder in LATE_ALLOWED)
            for module in sorted(imported(path, late)):
                if module.split(".")[0] in MAY_IMPORT and not _within(module, {floor, *allowed}):
                    problems.append(f"{name} imports {module}")
    return problems


def _within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def test_no_import_goes_up() -> None:
    assert climbs(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "problem"),
    [
        ("infra/storage.py", "from jobs.recipe import Recipe", "infra/storage.py imports jobs.recipe"),
        ("model/scales.py", "import infra.storage", "model/scales.py imports infra.storage"),
        ("jobs/pack/run.py", "import assets", "jobs/pack/run.py imports assets"),
        ("assets/tokens.py", "def f():\n    from jobs.extract.run import run", "jobs.extract.run"),
        ("assets/tokens.py", "from pipelines.project import load_recipe", "pipelines.project"),
        ("pipelines/definitions.py", "from model.text import load_text_tokenizer", "model.text"),
    ],
)
def test_a_climbing_import_is_found(tmp_path: Path, file: str, line: str, problem: str) -> None:
    place = tmp_path / file
    place.parent.mkdir(parents=True)
    place.write_text(line)
    (found,) = climbs(tmp_path)
    assert problem in found


def test_imports_going_down_are_fine(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "x.py").write_text("import dagster\nfrom infra.manifest import Output\n")
    assert climbs(tmp_path) == []


@pytest.mark.parametrize("module", ["pipelines.definitions", "jobs.recipe", "jobs.specs", "infra.launch"])
def test_what_dagster_loads_is_light(module: str) -> None:
    heavy = ("torch", "ray", "cv2", "transformers", "deepspeed")
    code = f"import sys, {module}; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_model_needs_only_torch_and_friends() -> None:
    allowed = {"torch", "transformers", "safetensors", "tokenizers", "numpy", "model", "regex"}
    for path in sorted((ROOT / "model").rglob("*.py")):
        outside = {m.split(".")[0] for m in imported(path)} - allowed - set(sys.stdlib_module_names)
        assert not outside, f"{path.name} imports {outside}"
