"""The house: who may import whom, what may be where, how large a module may be (spec 00, 08.6)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from assets.versions import ALSO

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "assets", "pipelines", "quality", "store")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PURE = sorted(
    p
    for p in (ROOT / "assets").rglob("*.py")
    if p.name not in ("defs.py", "factory.py", "execution.py", "versions.py", "__init__.py")
    and p != ROOT / "assets" / "staged" / "product.py"
)
IMPURE_MODULES = {
    "os", "time", "random", "secrets", "subprocess", "socket", "shutil", "tempfile", "requests", "httpx", "sqlalchemy",
    "psycopg", "dagster", "uuid",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today", "time_ns", "monotonic"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_imports_flow_in_one_direction():
    lint = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_api_loads_neither_dagster_nor_polars_nor_pandera_nor_sqlalchemy():
    code = (
        "import sys, api.app; bad = [m for m in ('dagster', 'polars', 'pandera', 'sqlalchemy') if m in sys.modules]; "
        "sys.exit(', '.join(bad) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", MODULES + TESTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_module_is_longer_than_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_module_says_what_lives_there(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", PURE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_pure_file_has_no_clock_no_io_and_no_dagster(path):
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & IMPURE_MODULES
    tree = ast.parse(path.read_text())
    calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)]
    attributes = {f.attr for f in calls if isinstance(f, ast.Attribute)}
    assert not attributes & CLOCKS
    names = {f.id for f in calls if isinstance(f, ast.Name)}
    assert not names & {"open", "print", "input", "hash"}


def test_only_defs_and_the_factory_import_dagster_below_assets():
    importers = {
        p.relative_to(ROOT / "assets").as_posix()
        for p in (ROOT / "assets").rglob("*.py")
        if any(name.split(".")[0] == "dagster" for name in imported(p))
    }
    folders = ("snapshot", "staged", "friends", "feed", "digests", "premium", "published")
    assert importers == {"factory.py", *(f"{folder}/defs.py" for folder in folders)}


def test_the_definitions_module_is_at_most_80_lines():
    assert len((ROOT / "pipelines" / "definitions.py").read_text().splitlines()) <= 80


DECIDING = [p for p in PURE if p.parent.name in ("feed", "friends", "digests", "premium", "published")]
TOLD_OTHERWISE = {
    "assets.frame",
    "quality.contract",
    "quality.types",
    "quality.registry",
    "store.settings",
    "store.manifest",
}
"""In every product's code version, or in its configuration's hash, or without a say in its bytes."""


@pytest.mark.parametrize("path", DECIDING, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_what_a_product_is_computed_with_is_in_its_code_version(path):
    product = path.parent.name
    covered = (f"assets/{product}", f"quality/{product}", *ALSO.get(product, ()))
    ours = {name for name in imported(path) if name.split(".")[0] in PACKAGES} - TOLD_OTHERWISE
    uncovered = {n for n in ours if not f"{n.replace('.', '/')}.py".startswith(covered) and n != "assets"}
    assert not uncovered, f"name it in assets.versions.ALSO[{product!r}]"
