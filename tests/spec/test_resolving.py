import sys
from importlib import metadata

import pytest

from rheostat.spec.resolving import locate, resolve

BUILTINS = {"constant": "the built-in", "warmup_cosine": "another"}


def resolved(name):
    return resolve(name, builtins=BUILTINS, entry_points="rheostat.schedules")


@pytest.fixture
def installed(monkeypatch):
    """A distribution that offers two schedules, one under a built-in's name."""
    group = "rheostat.schedules"
    points = [
        metadata.EntryPoint("zigzag", "math:pi", group),
        metadata.EntryPoint("constant", "math:e", group),
        metadata.EntryPoint("broken", "no_such_module_at_all:x", group),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)


def test_a_builtin_is_found_by_its_name():
    assert resolved("constant") == "the built-in"


def test_an_entry_point_is_found_by_its_name(installed):
    import math

    assert resolved("zigzag") == math.pi


def test_a_builtin_wins_over_an_entry_point(installed):
    assert resolved("constant") == "the built-in"


def test_an_attribute_is_found_by_module_and_path():
    import collections

    assert resolved("collections:OrderedDict.fromkeys") == collections.OrderedDict.fromkeys


def test_an_unknown_name_is_refused_with_close_matches_and_the_list():
    expected = r"did you mean constant\? \(known: constant, warmup_cosine\)"
    with pytest.raises(ValueError, match=expected):
        resolved("Constnat")


def test_a_missing_attribute_is_refused_with_close_matches():
    with pytest.raises(ValueError, match=r"no 'cosinus' there, did you mean .*cos"):
        resolved("math:cosinus")


@pytest.mark.parametrize("name", ["no_such_module_at_all:x", "broken"])
def test_a_failing_import_is_told_as_such(installed, name):
    with pytest.raises(ValueError, match=r"cannot be imported: ModuleNotFoundError: .*no_such"):
        resolved(name)


@pytest.mark.parametrize("name", [":", "a:", ":b", "a b:c", "a:b-c", "../x:y"])
def test_a_malformed_path_is_refused_without_an_import(name):
    with pytest.raises(ValueError, match=r"package\.module:attribute"):
        resolved(name)


def test_locating_imports_nothing():
    sys.modules.pop("this", None)

    locate("this:s", builtins=BUILTINS, entry_points="rheostat.schedules")

    assert "this" not in sys.modules
