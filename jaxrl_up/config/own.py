"""Things of the user's own by name: `FILE.py:NAME` and `MODULE:NAME`, one grammar for all that may be the user's.

A file is run, and a module imported, because the user named it. It stands among the modules of the program as any that
is imported, so that classes, types and sources of it are found again. A file that has changed is run again.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import zlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxrl_up.config.fields import did_you_mean

GRAMMAR = "FILE.py:NAME or MODULE:NAME"
"""The forms of a name, for messages."""

_given: dict[str, str] = {}  # by module: the file that it was run from, as it was given


def is_own_name(text: Any) -> bool:
    """Whether a text has the form `FILE.py:NAME` or `MODULE:NAME`."""
    place, colon, attribute = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    return bool(colon and place) and attribute.isidentifier()


def is_own_file(text: Any) -> bool:
    """Whether a text has the form `FILE.py`."""
    return isinstance(text, str) and text.endswith(".py")


def is_missing(name: str) -> bool:
    """Whether a name is of a file that is not there."""
    place = name.rpartition(":")[0]
    return is_own_name(name) and is_own_file(place) and not Path(place).expanduser().is_file()


def own_variable(name: str) -> Any:
    """What a name means: a variable of a file, which is run, or of a module, which is imported.

    Raises `ValueError`, in one line with the place, for a text of another form, a file, module or variable that is not
    there, and for an error in it.
    """
    place, _, attribute = name.rpartition(":")
    if not is_own_name(name):
        raise ValueError(f"{name!r} names nothing of your own: write {GRAMMAR}")
    module = own_module(place, name)
    if not hasattr(module, attribute):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise ValueError(f"{name!r}: {place} has no {attribute!r}.{did_you_mean(attribute, public)}")
    return getattr(module, attribute)


def own_module(place: str, name: str | None = None) -> ModuleType:
    """The module that a file is, or that goes by a name; `name` is what was asked for, as errors quote it.

    Raises `ValueError` as `own_variable` does.
    """
    name = place if name is None else name
    if is_own_file(place):
        path = Path(place).expanduser().resolve()
        if not path.is_file():
            beside = [other.name for other in path.parent.glob("*.py")]
            raise ValueError(f"{name!r}: there is no file {path}.{did_you_mean(path.name, beside)}")
        try:
            module = _file(path, when_changed(place))
        except (Exception, SystemExit) as error:
            raise ValueError(f"{name!r}: {_told(error, str(path))}") from error
        sys.modules.setdefault(module.__name__, module)
        _given[module.__name__] = place
        return module
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:  # as `python` has it, and a command has not
        sys.path.insert(0, here)
    try:
        return importlib.import_module(place)
    except (Exception, SystemExit) as error:
        what = str(error) if isinstance(error, ImportError) else _told(error)
        raise ValueError(f"{name!r}: module {place!r} cannot be imported: {' '.join(what.split())}") from error


def when_changed(place: str) -> int:
    """When a file was changed; 0 for a module."""
    return Path(place).expanduser().resolve().stat().st_mtime_ns if is_own_file(place) else 0


def place_of(module: str) -> str | None:
    """What stands before the colon of a name for what is in a module: its file, or its own name.

    A file as it was given, or below the working directory from there, else in full. None for what has neither, as what
    is typed into a notebook.
    """
    if module in _given:
        return _given[module]
    if module not in sys.modules and module != "__main__" and module_name("__main__") == module:
        return place_of("__main__")
    found = sys.modules.get(module)
    spec, file = getattr(found, "__spec__", None), getattr(found, "__file__", None)
    if module == "__main__" and spec is not None:  # python -m
        return spec.name
    if not is_own_file(file) or not Path(str(file)).is_file():
        return None
    if "." in module or "site-packages" in str(file):
        return module
    path = Path(str(file)).resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def module_name(module: str) -> str:
    """A module as records name it: the program that was started by the name that it has where it is imported."""
    if module != "__main__":
        return module
    place = place_of(module)
    return module if place is None else Path(place).stem if is_own_file(place) else place


def module_named(name: str) -> ModuleType | None:
    """The module that records mean, if the program has imported it: the inverse of `module_name`."""
    found = sys.modules.get(name)
    return sys.modules["__main__"] if found is None and module_name("__main__") == name else found


@cache
def _file(path: Path, changed: int) -> ModuleType:
    """A file as a module, run once for as long as it stays as it is; one that a program has imported as it is there."""
    name, file = _free_name(path), str(path)
    found = sys.modules.get(name)
    if found is not None and name not in _given and _is_file(found, path):
        return found
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that what lies beside the file hides nothing
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        # not by its loader, which would keep it compiled, and take it for unchanged within a second
        exec(compile(path.read_bytes(), file, "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        if found is not None:
            sys.modules[name] = found
        raise
    return module


def _free_name(path: Path) -> str:
    """The name of a file as a module: that of the file, unless something else goes by it."""
    stem = path.stem.replace(".", "_")
    found = sys.modules.get(stem)
    if found is not None:
        free = _is_file(found, path)
    else:
        spec = importlib.util.find_spec(stem)
        free = spec is None or spec.origin is None or Path(spec.origin).resolve() == path
    return stem if free else f"{stem}_{zlib.crc32(str(path).encode()):08x}"


def _is_file(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).resolve() == path


def _told(error: BaseException, path: str | None = None) -> str:
    """An error of a file in one line, with the last line of that file, or of any, on the way to it."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    trace, where = error.__traceback__, path or ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == path or (path is None and file != __file__ and not file.startswith("<")):
            where = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    text = " ".join(str(error).split())
    return f"{where}: {type(error).__name__}{': ' if text else ''}{text}"


def where(name: str) -> str:
    """The file of a name, and the line that its variable is from, as far as they are known; else its place."""
    place, _, attribute = name.rpartition(":")
    path = getattr(own_module(place, name), "__file__", None)
    line = _line(path, attribute) if path else None
    return f"{path or place}{f', line {line}' if line else ''}"


def _line(path: str, attribute: str) -> int | None:
    """The line of the last statement of a file that gives a variable its value, functions and classes apart."""
    try:
        body = ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return None
    lines = [
        node.lineno
        for node in body
        if getattr(node, "name", None) == attribute
        or attribute
        in {
            found.id
            for found in ast.walk(node)
            if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Store) and not hasattr(node, "name")
        }
    ]
    return lines[-1] if lines else None
