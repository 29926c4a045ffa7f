"""The floors of the house, a light import, and public names that say what they are."""

import ast
import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxrl_up

ROOT = Path(jaxrl_up.__file__).parent

# A room imports from the faces of lower rooms only, inside functions and for type checkers too.
FLOORS = {
    "types": 0,
    "config": 1,
    "ops": 1,
    "envs": 2,
    "tabular": 3,
    "learning": 3,
    "algorithms": 4,
    "training": 5,
    "records": 6,
    "analysis": 7,
    "experiments": 8,
    "deploy": 8,
    "cli": 9,
}
BESIDE = {"__init__.py", "__main__.py", "_version.py", "py.typed", "configs"}  # the last a link to the recipes
LONGEST = 400  # lines of a file
HEAVY = (
    "av",
    "gymnax",
    "gymnasium",
    "brax",
    "pgx",
    "mctx",
    "mujoco",
    "seaborn",
    "scipy.stats",
    "distrax",
    "matplotlib",
    "PIL",
    "jinja2",
    "pandas",
    "orbax",
    "tyro",
    "tensorboardX",
    "wandb",
    "submitit",
    "tensorflow_probability",
)

BUILDING = ("__init__.py", "registry.py")  # of algorithms
FILES = sorted(ROOT.rglob("*.py"))


def module(path):
    """The name of a file's module, that of a face without its `__init__`."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


def imports(path):
    """(what stands after `from`, the module or face that something of it is), anywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name) for alias in node.names if alias.name.split(".")[0] == "jaxrl_up")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full, from jaxrl_up..."
            if (node.module or "").split(".")[0] == "jaxrl_up":
                for name in (f"{node.module}.{alias.name}" for alias in node.names):
                    yield node.module, name if name in MODULES else node.module


def test_nothing_stands_beside_the_rooms():
    rooms = {path.stem for path in ROOT.iterdir() if path.name not in BESIDE and path.name != "__pycache__"}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_are_of_faces_of_lower_rooms(path):
    here = module(path).split(".")
    for face, name in imports(path):
        there = name.split(".")
        if name == "jaxrl_up._version" or here[1:2] == there[1:2]:
            continue
        assert face.count(".") <= 1, f"{module(path)} imports from {face}, which is no face"
        if len(here) > 1 and here[1] != "__main__":
            assert FLOORS[there[1]] < FLOORS[here[1]], f"{module(path)} imports {name}, of no lower room"


def test_no_module_imports_itself_by_way_of_others():
    edges = {name: {other for _, other in imports(path) if other in MODULES} for name, path in MODULES.items()}
    done = set()

    def visit(name, way):
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, [*way, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])


def test_files_are_short():
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: number for name, number in lines.items() if number > LONGEST} == {}


def test_all_else_imports_faces():
    """Tests, benches and the code in documents; modules of a room by the name that its face has for them."""
    pattern = re.compile(r"^\s*from (jaxrl_up[\w.]*) import|^\s*import (jaxrl_up\.[\w.]+)", re.MULTILINE)
    project = ROOT.parent
    places = [*project.glob("tests/**/*.py"), *project.glob("bench/*.py"), *project.glob("docs/**/*.md")]
    deep = [
        f"{path.name}: {name}"
        for path in [*places, project / "README.md"]
        for names in pattern.findall(path.read_text(encoding="utf-8"))
        for name in names
        if name.count(".") > 1
    ]
    assert deep == []


@pytest.mark.parametrize("path", sorted((ROOT.parent / "bench").glob("*.py")), ids=lambda path: path.name)
def test_what_a_bench_imports_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jaxrl_up":
            face = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(face, alias.name)] == []


BUILT_ON = {  # algorithms that say how they differ
    "c51": {"dqn"},
    "qr_dqn": {"dqn"},
    "td3": {"ddpg"},
    "sac_discrete": {"sac"},
    "mbpo": {"sac"},
    "mbve": {"ddpg", "td3"},
}


def test_algorithms_import_each_other_only_where_one_is_built_on_another():
    found: dict[str, set[str]] = {}
    for path in (ROOT / "algorithms").glob("*.py"):
        for _, name in imports(path):
            if path.name not in BUILDING and name.startswith("jaxrl_up.algorithms"):
                found.setdefault(path.stem, set()).add(name.removeprefix("jaxrl_up.algorithms."))
    assert found == BUILT_ON


def test_operations_import_nothing_but_types_and_mathematics():
    allowed = {
        "jax",
        "numpy",
        "chex",
        "math",
        "typing",
        "collections",
        "__future__",
        "jaxrl_up",
        "dataclasses",
        "scipy",
    }
    for path in (ROOT / "ops").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, f"{path.name}: {names}"


def test_finite_mdps_need_operations_and_environments_only():
    for path in (ROOT / "tabular").glob("*.py"):
        rooms = {name.split(".")[1] for _, name in imports(path) if name.count(".")}
        assert rooms <= {"tabular", "ops", "envs", "types"}, path.name


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
    """Docstring, Config, optimizer, init, loss(es), learn or update, act, record."""
    for path in (ROOT / "algorithms").glob("*.py"):
        if path.name in BUILDING:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert re.search(r"[\w.] \d{4}\b", ast.get_docstring(tree) or ""), f"{path.name}: name the paper and its year"
        assert "ime limit" in (ast.get_docstring(tree) or ""), f"{path.name}: say what happens at time limits"
        names = []
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.append(node.name)
            elif isinstance(node, ast.Assign):
                names += [name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
        learns = "learn" if "learn" in names else "update"  # off-policy the loop is the family's
        order = [names.index(name) for name in ("Config", "init", path.stem.upper())]
        assert {learns, "act"} <= set(names), path.name
        assert order == sorted(order), f"{path.name}: {names}"
        assert names[-1] == path.stem.upper()


def test_nothing_is_left_to_do():
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    for path in [*FILES, *Path(__file__).parent.rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path


def test_registry_lists_each_algorithm_by_its_name():
    names = {path.stem for path in (ROOT / "algorithms").glob("*.py") if path.name not in BUILDING}
    assert set(jaxrl_up.ALGORITHMS) == names
    for name, algo in jaxrl_up.ALGORITHMS.items():
        assert algo.name == name
        assert getattr(jaxrl_up, name.upper()) is algo


def test_mutations_find_what_they_change():
    """`bench/mutations.py` still means this code: each text is there once, and the test that must see it exists."""
    spec = importlib.util.spec_from_file_location("mutations", ROOT.parent / "bench" / "mutations.py")
    mutations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutations)
    for mutation in mutations.MUTATIONS:
        text = (ROOT / mutation.file).read_text(encoding="utf-8")
        assert [old for old, _ in mutation.changes if text.count(old) != 1] == [], mutation.name
        file, _, test = mutation.test.partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT.parent / "tests" / file).read_text(encoding="utf-8")
