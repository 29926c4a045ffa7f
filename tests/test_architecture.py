"""The floors of the house, a light import, and public names that say what they are."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxrl_up

ROOT = Path(jaxrl_up.__file__).parent

# A module imports from lower floors only, or from its own package.
FLOORS = {
    "types": 0,
    "_version": 0,
    "compiler": 0,
    "logs": 0,
    "numpy_policy": 0,
    "files": 0,
    "compiling": 0,
    "compilation_cache": 1,
    "waiting": 0,
    "scores": 0,
    "arguments": 0,
    "config": 1,
    "keys": 1,
    "devices": 1,
    "liveness": 1,
    "checkpoint": 2,
    "ops": 1,
    "envs": 2,
    "entries": 3,
    "networks": 3,
    "gradients": 3,
    "replay": 3,
    "priorities": 3,
    "rollout": 3,
    "on_policy": 4,
    "off_policy": 4,
    "q_learning": 5,
    "algorithms": 6,
    "training": 7,
    "recipes": 7,
    "ejecting": 7,
    "memory": 8,
    "records": 8,
    "exporting": 8,
    "reporting": 8,
    "curves": 9,
    "plotting": 10,
    "comparison": 11,
    "rendering": 9,
    "sinks": 9,
    "report": 11,
    "saved_runs": 9,
    "lanes": 10,
    "driving": 11,
    "points": 10,
    "sweep_plots": 11,
    "sweep_records": 12,
    "run": 12,
    "sweeps": 13,
    "cli_options": 14,
    "commands": 15,
    "cli": 16,
    "__main__": 17,
    "__init__": 17,
}
# Imports of a higher floor inside a function, with the reason.
EXEMPT = {
    ("config", "algorithms"): "finds an algorithm by its name, and names those that could act",
    ("entries", "algorithms"): "knows names and configs of algorithms in the wrong place",
    ("curves", "run"): "tells a RunResult, which is a tuple, from a sequence of runs",
}
HEAVY = (
    "gymnax",
    "gymnasium",
    "seaborn",
    "scipy.stats",
    "distrax",
    "matplotlib",
    "PIL",
    "pandas",
    "orbax",
    "tyro",
    "tensorboardX",
    "wandb",
    "tensorflow_probability",
)

FILES = sorted(ROOT.rglob("*.py"))


def module_of(path):
    """The room of a file: `ops` for ops/returns.py, `run` for run.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path):
    """(room imported, whether at the top of the file, full name), without those for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full, from jaxrl_up..."
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "jaxrl_up" else [base]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "jaxrl_up" and "." in name:
                yield name.split(".")[1], id(node) in top, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_come_from_lower_floors(path):
    room = module_of(path)
    assert room in FLOORS, f"give {room} a floor in FLOORS"
    for other, at_top, name in imports(path):
        if other == room or other not in FLOORS:  # its own package, or a name of the face
            assert other == room or other.startswith("__version"), f"{path.name} imports {name}"
        elif (room, other) in EXEMPT:
            assert not at_top, f"{path.name}: import {name} inside the function that needs it"
        else:
            assert FLOORS[other] < FLOORS[room], f"{path.name} (floor {FLOORS[room]}) imports {name} ({FLOORS[other]})"


def test_exemptions_are_needed():
    used = {(module_of(path), other) for path in FILES for other, _, _ in imports(path)}
    assert set(EXEMPT) <= used


def test_algorithms_do_not_import_each_other():
    for path in (ROOT / "algorithms").glob("*.py"):
        if path.name != "__init__.py":
            assert not [name for other, _, name in imports(path) if other == "algorithms"], path.name


def test_operations_import_nothing_but_types_and_mathematics():
    allowed = {"jax", "numpy", "chex", "math", "typing", "collections", "__future__", "jaxrl_up", "dataclasses"}
    for path in (ROOT / "ops").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, f"{path.name}: {names}"


def test_import_is_light_and_starts_no_backend():
    program = """
import json, sys
import jaxrl_up
from jax._src import xla_bridge
print(json.dumps({"modules": sorted(sys.modules), "backends": sorted(xla_bridge._backends)}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout)
    loaded = [name for name in found["modules"] if any(name == x or name.startswith(f"{x}.") for x in HEAVY)]
    assert loaded == []
    assert found["backends"] == []


def test_public_names_say_what_they_are():
    undocumented = []
    modules = [jaxrl_up, jaxrl_up.ops, jaxrl_up.envs]
    for module in modules:
        for name, value in vars(module).items():
            if name.startswith("_") or inspect.ismodule(value) or not (inspect.isclass(value) or callable(value)):
                continue
            if not getattr(value, "__module__", "").startswith("jaxrl_up") or isinstance(value, jaxrl_up.Algorithm):
                continue
            doc = value.__doc__ or ""
            if not doc or doc.startswith(f"{name}("):  # what a dataclass or named tuple writes by itself
                undocumented.append(f"{module.__name__}.{name}")
    assert undocumented == []


def test_public_functions_of_every_module_have_docstrings():
    missing = []
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree) and path.name != "_version.py":
            missing.append(str(path.relative_to(ROOT)))
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert missing == []


def test_config_fields_are_documented_and_of_a_kind():
    from jaxrl_up.config import field_help

    for algo in jaxrl_up.ALGORITHMS.values():
        for field in field_help(algo.Config):
            assert len(field.text.split("(")[0].split()) >= 1, f"{algo.name}.{field.name}"
            assert not field.text.startswith("("), f"{algo.name}.{field.name} has no docstring"


def test_algorithm_files_keep_their_order():
    """Docstring, Config, optimizer, init, loss(es), update, act, record."""
    for path in (ROOT / "algorithms").glob("*.py"):
        if path.name == "__init__.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert re.search(r"[\w.] \d{4}\b", ast.get_docstring(tree) or ""), f"{path.name}: name the paper and its year"
        assert "ime limit" in (ast.get_docstring(tree) or ""), f"{path.name}: say what happens at time limits"
        names = []
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.append(node.name)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names.append(node.targets[0].id)
        order = [names.index(name) for name in ("Config", "init", "update", "act", path.stem.upper())]
        assert order == sorted(order), f"{path.name}: {names}"
        assert names[-1] == path.stem.upper()


def test_nothing_is_left_to_do():
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    for path in [*FILES, *Path(__file__).parent.rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path


def test_registry_lists_each_algorithm_by_its_name():
    names = {path.stem for path in (ROOT / "algorithms").glob("*.py")} - {"__init__"}
    assert set(jaxrl_up.ALGORITHMS) == names
    for name, algo in jaxrl_up.ALGORITHMS.items():
        assert algo.name == name
        assert getattr(jaxrl_up, name.upper()) is algo
