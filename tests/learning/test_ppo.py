"""Training a controller: what comes out, and that the same comes out again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.utils import obs_as_tensor
from typer.testing import CliRunner

from rheostat.cli.main import app
from rheostat.errors import FailedPrecondition, InvalidSpec
from rheostat.learning.configuration import configuration_of, read_configuration
from rheostat.learning.exporting import actor_of, normaliser_of
from rheostat.learning.ppo import POLICY_FILE, Progress, _model, train
from rheostat.learning.vectors import GroupRows, make_children
from rheostat.spec.loading import read_file
from rheostat.spec.validation import parse
from rheostat.trainer.building import build
from rheostat.trainer.loop import Loop
from rheostat.trainer.peers import Nobody
from rheostat.trainer.ranks import Alone
from rheostat_policies.learned.policy_file import read_policy_file
from rheostat_policies.learned.shipped import shipped_file

PPO = {"actions": 40, "children": 2, "processes": False, "checkpoint_every": 2, "hidden": [8, 8]}


@pytest.fixture
def document(tiny: dict[str, Any]) -> dict[str, Any]:
    """A training of four updates on runs of five actions."""
    return {"name": "tried", "seed": 1, "tasks": [{"spec": tiny, "seeds": 2}], "ppo": PPO}


def trained(document: dict[str, Any], folder: Path, **options: Any) -> list[Progress]:
    return list(train(configuration_of(document, folder), folder, **options))


def without_settings(path: Path) -> Any:
    """Everything in a policy file but how it was asked for."""
    policy = read_policy_file(path)
    return {name: array.tolist() for name, array in policy.network.arrays().items()}, (
        policy.normaliser.settings()
    )


WHOLE = {"exploration_every": 3, "gae_lambda": 1.0}
"""Exploration by functions of what is seen: how the shipped controller was made."""


@pytest.mark.parametrize("settings", [{}, WHOLE], ids=["independent", "functions"])
def test_the_same_seed_gives_the_same_file_byte_for_byte(
    document: dict[str, Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    document = {**document, "ppo": {**PPO, **settings}}
    if settings:
        document["environment"] = {"paid": "end", "features": ["progress", "train_loss_fall"]}
    for name in ("one", "two"):
        trained(document, tmp_path / name)
    trained({**document, "seed": 2}, tmp_path / "other")

    one, two, other = (tmp_path / name / POLICY_FILE for name in ("one", "two", "other"))
    assert one.read_bytes() == two.read_bytes()
    assert without_settings(one) != without_settings(other)


@pytest.mark.parametrize("settings", [{}, WHOLE], ids=["independent", "functions"])
def test_a_training_that_was_interrupted_ends_as_if_it_had_not_been(
    document: dict[str, Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    document = {**document, "ppo": {**PPO, **settings}}
    whole = trained(document, tmp_path / "whole")
    configuration = configuration_of(document, tmp_path)
    for progress in train(configuration, tmp_path / "broken"):
        if progress.updates == 3:
            break
    with pytest.raises(FailedPrecondition, match="with 2 updates; go on with --resume"):
        next(train(configuration, tmp_path / "broken"))
    rest = trained(document, tmp_path / "broken", resume=True)

    assert [one.updates for one in whole] == [0, 1, 2, 3, 4]
    assert rest == [Progress(updates=2, of=4, actions=20, episodes=0, diverged=0), *whole[3:]]
    files = [(tmp_path / name / POLICY_FILE).read_bytes() for name in ("whole", "broken")]
    assert files[0] == files[1]


def test_another_configuration_does_not_go_on_from_there(
    document: dict[str, Any], tmp_path: Path
) -> None:
    trained(document, tmp_path)

    with pytest.raises(FailedPrecondition, match="belongs to another configuration"):
        trained({**document, "seed": 2}, tmp_path, resume=True)


def test_children_in_processes_of_their_own_change_nothing(
    document: dict[str, Any], tmp_path: Path
) -> None:
    short = {**PPO, "actions": 20}
    trained({**document, "ppo": short}, tmp_path / "here")
    trained({**document, "ppo": {**short, "processes": True}}, tmp_path / "apart")

    here, apart = (without_settings(tmp_path / name / POLICY_FILE) for name in ("here", "apart"))
    assert here == apart


@pytest.mark.parametrize("mode", [{"mode": "anchored"}, {"mode": "xu2019"}], ids=str)
def test_an_untrained_controller_leaves_the_schedule_alone(
    document: dict[str, Any], tmp_path: Path, mode: dict[str, Any]
) -> None:
    configuration = configuration_of({**document, "environment": mode}, tmp_path)
    scale = make_children(configuration)
    actor = actor_of(_model(configuration, scale, 5))
    rows = np.random.default_rng(0).normal(size=(4, actor.layers[0][0].shape[1]))

    exponents = [configuration.mode.answers.exponents([row]) for row in actor(rows)]

    assert exponents == [[0.0]] * 4


def test_the_exported_network_answers_as_the_trained_one(
    document: dict[str, Any], tmp_path: Path
) -> None:
    configuration = configuration_of(document, tmp_path)
    scale = make_children(configuration)
    model = _model(configuration, scale, 5)
    model.policy.action_net.weight.data.normal_()
    raw = np.random.default_rng(0).normal(size=(6, scale.observation_space.shape[0])) * 3
    scale.obs_rms.update(raw)
    shown = scale.normalize_obs(raw.astype(np.float32))

    rows = normaliser_of(scale)(raw.astype(np.float32))
    answers = actor_of(model)(rows)

    expected = model.policy.get_distribution(obs_as_tensor(shown, "cpu")).mode().tolist()
    assert rows == pytest.approx(shown, abs=1e-6)
    assert np.array(answers) == pytest.approx(np.array(expected), abs=1e-5)


def test_every_group_is_decided_for_by_its_own_row(
    document: dict[str, Any], two_groups: Any, tiny: dict[str, Any], tmp_path: Path
) -> None:
    tasks = [{"spec": {**tiny, "groups": two_groups}, "seeds": 1}]
    configuration = configuration_of({**document, "tasks": tasks}, tmp_path)
    scale = make_children(configuration)
    rows = scale.venv
    assert isinstance(rows, GroupRows)

    seen = rows.reset()
    _, rewards, _, infos = rows.step(np.array([[1.0], [0.0], [0.0], [0.0]], dtype=np.float32))

    assert seen.shape == (4, 12)
    assert rewards[0] == rewards[1] != 0.0
    assert rewards[2] == rewards[3] == 0.0
    ratios = [list(info["learning_rate"].values()) for info in infos]
    assert ratios[0] == ratios[1] != ratios[2]
    for _ in range(4):
        _, _, are_over, infos = rows.step(np.zeros((4, 1), dtype=np.float32))
    assert are_over.all()
    assert all(info["terminal_observation"].shape == (12,) for info in infos)


def test_mistakes_are_told_all_at_once_with_their_fields(
    document: dict[str, Any], tmp_path: Path
) -> None:
    wrong = {
        **document,
        "environment": {"reach": 0},
        "ppo": {"clip_rang": 0.2, "children": 0},
        "tasks": [{"spec": {"train": {"steps": "ten"}}}],
    }

    with pytest.raises(InvalidSpec) as caught:
        configuration_of(wrong, tmp_path)

    assert [(one.field, one.value) for one in caught.value.violations] == [
        ("tasks[0].spec.train.steps", "ten"),
        ("environment.reach", "0"),
        ("ppo.clip_rang", "0.2"),
        ("ppo.children", "0"),
    ]
    assert "did you mean clip_range or" in str(caught.value)


def test_a_task_may_name_the_file_of_its_spec(tiny: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(json.dumps(tiny))
    (tmp_path / "learn.yaml").write_text("tasks: [{spec: spec.yaml}]")

    read = read_configuration(tmp_path / "learn.yaml")

    assert read.tasks[0].spec.name == "tiny"
    assert read.document["tasks"] == [{"spec": tiny}]


def test_where_the_data_lie_is_no_part_of_a_policy(tiny: dict[str, Any], tmp_path: Path) -> None:
    document = {"tasks": [{"spec": {**tiny, "data": {"name": "mnist", "root": "here"}}}]}

    read = configuration_of(document, tmp_path, {"mnist": "elsewhere"})

    assert read.tasks[0].spec.data.root == "elsewhere"
    assert read.document == configuration_of(document, tmp_path).document


def test_the_command_trains_and_says_where_the_policy_is(
    document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "learn.yaml").write_text(json.dumps({**document, "ppo": {**PPO, "actions": 20}}))
    options = ["--config", str(tmp_path / "learn.yaml"), "--out", str(tmp_path / "out")]

    done = CliRunner().invoke(app, ["learn", "ppo", *options, "--tensorboard", "--json"])

    assert done.exit_code == 0, done.output
    shape = json.loads(done.stdout)
    assert shape["policy"] == str(tmp_path / "out" / POLICY_FILE)
    assert (shape["updates"], shape["actions"]) == (2, 20)
    assert "update 2/2  20 actions" in done.stderr
    assert list((tmp_path / "out" / "tensorboard").iterdir())
    assert read_policy_file(Path(shape["policy"])).provenance["seed"] == 1


@pytest.mark.parametrize("name", ["digits", "one_cycle"])
def test_the_examples_are_valid_trainings(name: str) -> None:
    example = Path(__file__).parents[2] / "examples" / f"learn_{name}.yaml"

    assert read_configuration(example).name == name


def test_the_shipped_controller_is_what_its_example_trains() -> None:
    example = Path(__file__).parents[2] / "examples" / "learn_one_cycle.yaml"

    shipped = read_policy_file(shipped_file("one_cycle"))

    configuration = read_configuration(example)
    assert shipped.configuration == configuration.document
    assert shipped.provenance["name"] == "one_cycle"
    assert shipped.provenance["seed"] == configuration.seed
    assert shipped.provenance["actions"] >= configuration.ppo.actions


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['gymnasium'] = None; from rheostat.cli.main import main; "
        "sys.argv = ['rheostat', 'learn', 'ppo', '--config', 'any.yaml']; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )

    assert done.returncode == 1
    assert "pip install 'rheostat[learn]'" in done.stderr


def test_the_command_line_imports_nothing_of_the_extra_until_it_learns() -> None:
    code = (
        "import sys, rheostat.cli.main; "
        "print(sorted({'gymnasium', 'stable_baselines3', 'torch'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_command_refuses_a_mistake_with_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "learn.yaml").write_text("tasks: []")

    done = CliRunner().invoke(app, ["learn", "ppo", "--config", str(tmp_path / "learn.yaml")])

    assert done.exit_code == 2
    assert "tasks: at least one task" in done.stderr


def test_somebody_elses_model_and_data_are_learned_on_by_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples" / "plugin" / "src")
    # As docs/learned-policies.md says, with a spec beside it.
    (tmp_path / "spirals.yaml").write_text(
        """
name: spirals
model: {name: "rheostat_spirals.model:ripple", args: {width: 8}}
data: {name: "rheostat_spirals.data:two_spirals", args: {samples: 200}, batch_size: 32}
optimizer: {name: AdamW}
schedule: {name: linear}
train: {steps: 40}
"""
    )
    (tmp_path / "mine.yaml").write_text(
        """
name: mine
environment: {paid: end, features: [progress, train_loss_fall]}
tasks: [{spec: spirals.yaml, lrs: [1e-2, 1e-3], seeds: 2}]
ppo: {actions: 12, children: 2, processes: false, exploration_every: 3}
"""
    )

    options = ["--config", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["learn", "ppo", *options, "--json"])

    assert done.exit_code == 0, done.output
    file = json.loads(done.stdout)["policy"]
    attached = {"name": "learned", "args": {"file": file}}
    document = {**read_file(tmp_path / "spirals.yaml"), "policies": [attached]}
    spec, violations = parse(document, import_plugins=True)
    assert spec is not None, violations
    live = Loop(build(spec, "live"), Nobody(), Alone())
    assert live.run().steps == 40
    (status,) = live.parts.steering.roster.statuses()
    assert status.outcomes.get("failed", 0) == 0
