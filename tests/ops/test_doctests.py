"""The examples in docstrings of operations give what they say, and every module has some."""

import doctest
import importlib
import pkgutil

import pytest

from jaxrl_up import ops

MODULES = sorted(module.name for module in pkgutil.iter_modules(ops.__path__))
LONGEST = 3  # lines of an example, with what it prints


def examples(name):
    """The module of that name and its docstrings with examples, as `doctest` finds them."""
    module = importlib.import_module(f"jaxrl_up.ops.{name}")
    return module, [found for found in doctest.DocTestFinder().find(module) if found.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_right(name):
    module, found = examples(name)
    assert found, f"give a function of {module.__name__} an example"
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted == sum(len(docstring.examples) for docstring in found)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_short(name):
    for docstring in examples(name)[1]:
        lines = [line for x in docstring.examples for line in (x.source + x.want).splitlines()]
        assert len(lines) <= LONGEST, docstring.name
