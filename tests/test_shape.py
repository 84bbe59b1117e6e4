"""The house keeps its shape: the import contracts hold, imports stand at the top, every setting is documented."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gis.settings import ROOT, Settings

PACKAGES = ("gis", "layers", "api")
MODULES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts
)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def own(node: ast.AST) -> bool:
    """Whether an import statement names one of our packages."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        names = ["gis"] if node.level else [node.module or ""]
    return any(name.split(".")[0] in PACKAGES for name in names)


def test_the_import_contracts_hold() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_knows_and_imports_at_its_top(path: Path) -> None:
    module = parsed(path)
    if path.name != "__init__.py":
        assert ast.get_docstring(module), "a module begins with what it knows"
    inside = [
        f"line {node.lineno}"
        for function in ast.walk(module)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom) and own(node)
    ]
    assert inside == []


def test_the_check_for_inner_imports_can_fail() -> None:
    module = ast.parse("def f():\n    from gis import db\n    import api.up\n    import json\n    from . import x\n")
    assert [own(node) for node in ast.walk(module) if isinstance(node, ast.Import | ast.ImportFrom)] == [
        True,
        True,
        False,
        True,
    ]


def test_every_setting_is_described_in_code_and_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, setting in Settings.model_fields.items():
        assert setting.description, name
        assert f"`WANGGE_{name.upper()}`" in readme, name
    known = {f"WANGGE_{name.upper()}" for name in Settings.model_fields} | {"WANGGE_TEST_DATABASE_URL"}
    assert set(re.findall(r"WANGGE_[A-Z_]*[A-Z]", readme)) <= known


def test_no_address_or_path_of_a_workplace_in_what_is_installed() -> None:
    locks = [ROOT / part / "package-lock.json" for part in ("layers/web", "field_app")]
    for name in (ROOT / "requirements.lock", ROOT / "pyproject.toml", *(path for path in locks if path.exists())):
        text = name.read_text(encoding="utf-8")
        assert "file:/" not in text, name
        assert '"resolved"' not in text, name
        assert "--index-url" not in text, name


def test_a_process_that_draws_tiles_loads_no_library_of_reports_and_files() -> None:
    heavy = ("alembic", "folium", "geopandas", "openpyxl", "pandas", "pypinyin", "pyogrio")
    told = f"import sys, api.main; print(sorted(sys.modules.keys() & {set(heavy)}))"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
