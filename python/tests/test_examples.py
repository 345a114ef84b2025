"""Everything that is shown to users runs: docstrings and the Python of the README pages."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import tacitly

ROOT = Path(__file__).parents[2]
MODULES = ["tacitly"] + [module.name for module in pkgutil.walk_packages(tacitly.__path__, "tacitly.")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(sim, classes, name):
    results = doctest.testmod(importlib.import_module(name), extraglobs={"sim": sim}, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 10


@pytest.mark.parametrize("page", ["README.md", "python/README.md"])
def test_the_python_of_a_page_runs(page):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    runnable = [block for block in blocks if "simulate(" in block]
    assert runnable, "the page shows a simulation"
    for block in runnable:
        exec(compile(block, page, "exec"), {})
