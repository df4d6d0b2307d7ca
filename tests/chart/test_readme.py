"""The README's tables, and the tool that makes them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/chart_readme.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("chart_readme", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for themselves
    spec.loader.exec_module(module)
    return module


def test_the_readme_is_up_to_date():
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_every_default_is_in_the_readme(chart, defaults):
    readme = (chart / "README.md").read_text()

    for section, value in defaults.items():
        assert f"| `{section}" in readme
        if isinstance(value, dict) and f"| `{section}`" not in readme:
            assert all(f"| `{section}.{key}" in readme for key in value)


VALUES = """
# == Names
# What they are
# for.

# -- Of the whole,
# or none.
name: ""
part:
  # -- One | two.
  of: [1, a]
"""
TABLES = r"""### Names

What they are for.

| key | default | meaning |
|---|---|---|
| `name` | `""` | Of the whole, or none. |
| `part.of` | `[1, "a"]` | One \| two. |
"""


def test_sections_keys_and_defaults_become_tables(tool):
    assert tool.tables(tool.read(VALUES)) == TABLES


def test_a_key_that_nobody_explains_is_an_error(tool):
    with pytest.raises(tool.Undocumented, match=r"part\.of"):
        tool.read("part:\n  of: 1\n")


def test_a_map_that_is_explained_as_a_whole_explains_its_keys(tool):
    (value,) = tool.read("# -- All of it.\npart:\n  of: 1\n")

    assert value.default == {"of": 1}
