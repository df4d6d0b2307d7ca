"""What a spec from afar may name: hostile spellings against what would import or open them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.spec.admission import Admission, file_paths, import_paths
from rheostat.spec.models import Spec


def refused(document, **admission):
    return {one.field for one in Admission(**admission).violations(document)}


def spec(**sections):
    return Spec.model_validate({"train": {"steps": 1}, **sections}).model_dump(mode="json")


@pytest.mark.parametrize(
    ("field", "document"),
    [
        ("model.name", {"model": {"name": "os:system"}}),
        ("model.name", {"model": {"name": "os.path:join"}}),
        ("data.name", {"data": {"name": "mine:data"}}),
        ("optimizer.name", {"optimizer": {"name": "mine:Sgd"}}),
        # The module is imported before anybody finds that there is no such attribute.
        ("optimizer.name", {"optimizer": {"name": "mine:no such thing"}}),
        ("optimizer.name", {"optimizer": {"name": "torchvision:resnet18"}}),
        ("train.loss", {"train": {"steps": 1, "loss": "mine:loss"}}),
        ("schedule.name", {"schedule": {"name": "mine:halves"}}),
        ("schedule.args.lr_lambda", {"schedule": {"name": "x", "args": {"lr_lambda": "mine:f"}}}),
        (
            "schedule.args.schedules[0].name",
            {"schedule": {"name": "x", "args": {"schedules": [{"name": "mine:f"}]}}},
        ),
        ("groups[0].schedule.name", {"groups": [{"name": "a", "schedule": {"name": "mine:f"}}]}),
        ("policies[0].name", {"policies": [{"name": "mine:P"}]}),
        (
            "policies[0].args.x.y[1]",
            {"policies": [{"name": "a", "args": {"x": {"y": [1, "a:b"]}}}]},
        ),
        ("model.name", {"model": {"name": "\u0430\u0431:c"}}),
    ],
)
def test_code_is_refused_wherever_it_is_named_unless_it_is_admitted(field, document):
    [(_, text)] = list(import_paths(document))

    assert refused(document) == {field}
    assert refused(document, imports=(text,)) == set()
    assert refused(document, imports=("*",)) == set()
    assert refused(document, imports=("other:*", text[:-1])) == {field}


@pytest.mark.parametrize(
    "document",
    [
        spec(),
        spec(model={"name": "torchvision:resnet50"}),
        spec(policies=[{"name": "rules", "args": {"rules": [{"when": "loss > 1 ? a : b"}]}}]),
        spec(schedule={"name": "StepLR", "args": {"step_size": "10 epochs"}}),
    ],
)
def test_what_comes_with_the_daemon_needs_no_admission(document):
    assert refused(document) == set()


def test_a_pattern_admits_the_modules_that_it_names():
    document = {"policies": [{"name": "mine:P"}, {"name": "mine.deep:P"}, {"name": "yours:P"}]}

    assert refused(document, imports=("mine:*",)) == {"policies[1].name", "policies[2].name"}
    assert refused(document, imports=("mine*",)) == {"policies[2].name"}


@given(st.text(), st.text())
def test_nothing_that_python_could_import_passes_unnoticed(module, attribute):
    name = f"{module}:{attribute}"
    could = all(part.isidentifier() for part in name.partition(":")[0].split("."))

    assert bool(list(import_paths({"a": [name]}))) == could


@pytest.fixture
def folders(tmp_path):
    for name in ("data/digits", "secret"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "way-out").symlink_to(tmp_path / "secret")
    (tmp_path / "way-in").symlink_to(tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("data/digits", True),
        ("data", True),
        ("data/not/there", True),
        ("way-in/digits", True),
        ("data/way-in-name/../digits", True),
        ("data/../secret", False),
        ("data/way-out", False),
        ("data/way-out/x", False),
        ("data2", False),
        ("secret", False),
        ("data/digits/../../secret/key", False),
    ],
)
def test_files_are_read_below_the_roots_only_with_links_followed(folders, text, allowed):
    document = {"data": {"name": "mnist", "root": str(folders / text)}}

    assert refused(document, roots=(folders / "way-in",)) == (set() if allowed else {"data.root"})


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("data.root", {"data": {"root": "here"}}),
        ("policies[0].args.file", {"policies": [{"name": "learned", "args": {"file": "p"}}]}),
        ("model.args.where", {"model": {"args": {"where": "/etc/shadow"}}}),
        ("model.args.where", {"model": {"args": {"where": "~root/key"}}}),
        ("model.args.where", {"model": {"args": {"where": "a/../../key"}}}),
    ],
)
def test_paths_are_known_by_their_key_or_their_look(path, document):
    assert len(list(file_paths(document))) == 1
    assert refused(document) == {path}


@pytest.mark.parametrize("text", ["\0", "~nobody-of-that-name/x", "/" + "x" * 5000])
def test_a_path_that_leads_nowhere_is_refused_and_no_error(tmp_path, text):
    assert refused({"data": {"root": text}}, roots=(tmp_path,)) == {"data.root"}
