"""The examples in docstrings of tables give what they say."""

import doctest
import importlib
import pkgutil

import pytest

from jaxrl_up import tabular

MODULES = sorted(module.name for module in pkgutil.iter_modules(tabular.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_right(name):
    assert doctest.testmod(importlib.import_module(f"jaxrl_up.tabular.{name}")).failed == 0


def test_there_are_examples():
    found = [doctest.DocTestFinder().find(importlib.import_module(f"jaxrl_up.tabular.{name}")) for name in MODULES]
    assert sum(len(one.examples) for module in found for one in module) >= 10
