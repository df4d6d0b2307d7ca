"""Comparing a controller with schedules: who runs, on which seeds, and what the page says."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rheostat.cli.main import app
from rheostat.errors import InvalidSpec
from rheostat.learning.evaluation import contenders, figures, report
from rheostat.learning.evaluation.comparison import compare, mean_and_deviation
from rheostat.learning.evaluation.notebook import Notebook
from rheostat.learning.evaluation.protocol import Evaluation
from rheostat.learning.evaluation.settings import EvaluationPlan, plan_of, read_plan
from rheostat.learning.evaluation.trial import Outcome, fingerprint, run_trial
from rheostat.spec.models import Spec
from rheostat.spec.validation import parse
from rheostat_policies.learned.answers import Anchored
from rheostat_policies.learned.features import ANCHORED
from rheostat_policies.learned.policy_file import LearnedPolicy

Made = Callable[..., LearnedPolicy]
ONE_CYCLE = {"name": "OneCycleLR", "args": {"cycle_momentum": False}}
NAMES = [
    "best of 48 step-decays",
    "constant",
    "cosine",
    "linear",
    "OneCycle",
    "WSD",
    "plateau",
    "controller",
    "its base alone",
    "its mean schedule, replayed",
    "random answers",
]


@pytest.fixture
def short(tiny: dict[str, Any]) -> Spec:
    """A task of forty steps."""
    spec, violations = parse({**tiny, "name": "short", "train": {"steps": 40}})
    assert spec is not None, violations
    return spec


@pytest.fixture
def document(short: Spec, a_policy: Made, tmp_path: Path) -> dict[str, Any]:
    """The smallest evaluation there is, of a controller drawn at random."""
    (tmp_path / "drawn.policy").write_bytes(a_policy(ANCHORED, Anchored(), 1.0).to_bytes())
    spec = short.model_dump(mode="json")
    return {
        "name": "tried",
        "policy": "drawn.policy",
        "seeds": 2,
        "search_seeds": 2,
        "finalists": 1,
        "peaks": [1e-2],
        "unseen": [spec],
    }


def planned(document: dict[str, Any], folder: Path) -> EvaluationPlan:
    return plan_of(document, folder, {})


def an_outcome(loss: float, **fields: Any) -> Outcome:
    known: dict[str, Any] = {
        "validation_loss": loss,
        "validation_accuracy": 0.5,
        "test_loss": None,
        "test_accuracy": None,
        "diverged": False,
        "learning_rates": (0.01,),
        "factors": (1.0,),
    }
    return Outcome(**{**known, **fields})


def test_everybody_runs_once_and_an_interrupted_evaluation_runs_only_the_rest(
    document: dict[str, Any], tmp_path: Path
) -> None:
    plan, file = planned(document, tmp_path), tmp_path / "results.jsonl"
    broken = Evaluation(plan, file)
    for progress in broken.run():
        if progress.runs == 30:
            break
    kept = file.read_bytes()
    file.write_bytes(kept + b'{"key": "half a li')

    whole = Evaluation(plan, file)
    told = list(whole.run())

    assert kept.count(b"\n") == 30
    assert file.read_bytes().startswith(kept)
    assert whole.runs == len(told) == 48 + 1 + 6 * 2 + 11 * 2
    (result,) = whole.results
    assert [row.contender.family for row in result.rows] == NAMES
    assert all(len(row.outcomes) == 2 for row in result.rows)
    # Each contender's seeds are those of all others, and no setting was chosen on them.
    again = Evaluation(plan, file)
    before = file.read_bytes()
    assert len(list(again.run())) == len(told)
    assert file.read_bytes() == before
    assert [row.losses for row in again.results[0].rows] == [row.losses for row in result.rows]


def test_the_base_alone_is_the_controller_that_answers_nothing(
    document: dict[str, Any], a_policy: Made, tmp_path: Path
) -> None:
    (tmp_path / "drawn.policy").write_bytes(a_policy(ANCHORED, Anchored(), 0.0).to_bytes())
    evaluation = Evaluation(planned(document, tmp_path), tmp_path / "results.jsonl")

    list(evaluation.run())

    (result,) = evaluation.results
    ours = result.row("controller").losses
    assert result.row("its base alone").losses == ours
    assert result.row("its mean schedule, replayed").losses == ours
    assert result.row("OneCycle").losses == ours, "the peak there is to choose is the same"
    assert result.row("random answers").losses != ours


def test_settings_are_chosen_on_other_seeds_than_those_of_the_table(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: dict[bool, set[int]] = {True: set(), False: set()}

    def noted(spec: Spec, every: int, *, is_tested: bool) -> Outcome:
        assert is_tested == (spec.train.seed < 1_000_000), "the test split is for the table alone"
        seeds[spec.schedule.name == "StepLR"].add(spec.train.seed)
        # The search likes one of the 48, whatever the others say of it later.
        liked = spec.optimizer.lr == 1e-3 and spec.schedule.args.get("gamma") == 0.9
        return an_outcome(0.1 if liked and spec.schedule.args["step_size"] == 50 else 0.5)

    monkeypatch.setattr("rheostat.learning.evaluation.protocol.run_trial", noted)
    evaluation = Evaluation(planned(document, tmp_path), tmp_path / "results.jsonl")
    list(evaluation.run())

    chosen = evaluation.results[0].row("best of 48 step-decays")
    assert chosen.contender.setting == "0.001, every 50, x0.9"
    assert chosen.rivals == 48
    assert seeds[True] == {1000, 1001, 1_001_000, 1_001_001}


def test_only_the_usual_schedules_that_are_named_take_part(
    document: dict[str, Any], tmp_path: Path
) -> None:
    plan = planned({**document, "usual": ["OneCycle", "cosine"]}, tmp_path)

    names = [family[0].family for family in contenders.usual((1e-2, 1e-3), plan.section.usual)]

    assert names == ["cosine", "OneCycle"]
    assert Evaluation(plan, tmp_path / "none").runs == 48 + 1 + 2 * 2 + (3 + 4) * 2


def test_the_48_are_those_of_the_paper() -> None:
    rivals = contenders.step_decays()

    assert len({rival.setting for rival in rivals}) == 48
    assert rivals[0].setting == "0.1, every 10, x0.99"
    assert rivals[-1].schedule == {"name": "StepLR", "args": {"step_size": 100, "gamma": 0.88}}


def test_a_replay_has_the_lrs_of_the_run_that_it_is_of(
    short: Spec, a_policy: Made, tmp_path: Path
) -> None:
    file = tmp_path / "drawn.policy"
    file.write_bytes(a_policy(ANCHORED, Anchored(), 1.0).to_bytes())
    steered = run_trial(contenders.controller(1e-2, ONE_CYCLE, str(file)).spec(short, 3), 10)

    replayed = run_trial(
        contenders.replay(1e-2, ONE_CYCLE, [steered.factors], 10).spec(short, 3), 10
    )

    assert replayed.learning_rates == pytest.approx(steered.learning_rates, rel=1e-12)
    assert replayed.validation_loss == pytest.approx(steered.validation_loss, rel=1e-3)
    assert len(set(steered.factors)) == 4


def test_random_answers_stay_within_reach_and_differ_by_seed(short: Spec) -> None:
    drawn = contenders.random_answers(
        1e-2, ONE_CYCLE, every=10, reach=0.5, windows=4, seeds=range(2)
    )

    gains = [drawn.spec(short, seed).schedule.args["gains"] for seed in range(2)]

    assert gains[0] != gains[1]
    assert [step for step, _ in gains[0]] == [10, 20, 30, 40]
    assert all(math.exp(-0.5) <= gain <= math.exp(0.5) for both in gains for _, gain in both)


def test_a_run_that_diverges_stands_at_the_loss_of_the_untrained_model(short: Spec) -> None:
    wild = short.model_copy(
        update={"optimizer": short.optimizer.model_copy(update={"name": "SGD", "lr": 1e30})}
    )

    outcome = run_trial(wild, 10)

    assert outcome.diverged
    assert outcome.validation_loss == pytest.approx(math.log(10), rel=0.2)


def test_a_run_is_known_by_what_its_result_depends_on(short: Spec) -> None:
    def known(policy: bytes = b"", **data: Any) -> str:
        section = short.data.model_copy(update=data)
        return fingerprint(short.model_copy(update={"data": section}), policy)

    assert known() == known(root="elsewhere")
    assert len({known(), known(batch_size=9), known(b"a policy")}) == 3


def test_a_result_outlives_what_does_not_shape_the_run(short: Spec) -> None:
    saved_less = short.checkpoint.model_copy(update={"keep": 5})
    other = short.model_copy(update={"name": "other", "checkpoint": saved_less})
    spelled_out = Spec.model_validate(json.loads(short.model_dump_json()))

    assert fingerprint(other, b"") == fingerprint(short, b"") == fingerprint(spelled_out, b"")


def test_differences_are_paired_by_seed() -> None:
    ours, theirs = [0.10, 0.20, 0.31, 0.40], [0.11, 0.21, 0.32, 0.42]

    compared = compare(ours, theirs)

    # t = -0.0125 / (0.005 / 2) = -5 with three degrees of freedom
    assert compared.difference == pytest.approx(-0.0125)
    assert compared.p == pytest.approx(0.0154, abs=1e-4)
    assert compare(ours, ours).p == 1.0
    assert compare([1.0, 2.0], [2.0, 3.0]).p == 0.0
    assert mean_and_deviation([1.0, 3.0]) == pytest.approx((2.0, math.sqrt(2)))


def test_the_command_writes_tables_and_figures_into_a_page(
    document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "evaluate.yaml").write_text(json.dumps(document))
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{report.BEGIN}\nold\n{report.END}\n\nAfter.\n")
    options = ["--config", str(tmp_path / "evaluate.yaml"), "--out", str(tmp_path / "out")]

    done = CliRunner().invoke(app, ["learn", "evaluate", *options, "--page", str(page), "--json"])

    assert done.exit_code == 0, done.output
    (shape,) = json.loads(done.stdout)
    assert (shape["task"], shape["trained"]) == ("short", False)
    assert [row["contender"] for row in shape["contenders"]] == NAMES
    assert "short: controller" in done.stderr
    text = page.read_text()
    assert text.startswith(f"Before.\n\n{report.BEGIN}\n\n### Tasks it was never trained on\n")
    assert text.endswith(f"{report.END}\n\nAfter.\n")
    assert "old" not in text
    assert "**short**: mlp [16] on digits, Adam, batches of 128, 40 steps; 2 seeds." in text
    ours = next(line for line in text.splitlines() if line.startswith("| **controller**"))
    assert ours.split("|")[3].split()[0] == f"{shape['contenders'][7]['validation_loss']:.4f}"
    assert "![short](learned/short.svg)" in text
    assert (tmp_path / "learned" / "short.svg").read_text().count("controller") >= 2


def test_a_figure_of_the_same_result_has_the_same_bytes(
    document: dict[str, Any], tmp_path: Path
) -> None:
    evaluation = Evaluation(planned(document, tmp_path), tmp_path / "results.jsonl")
    list(evaluation.run())

    for name in ("one.svg", "two.svg"):
        figures.draw(evaluation.results[0], tmp_path / name, 10)

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_page_without_marks_is_refused_before_anything_runs(
    document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "evaluate.yaml").write_text(json.dumps(document))
    (tmp_path / "page.md").write_text("No marks.")
    options = ["--config", str(tmp_path / "evaluate.yaml"), "--out", str(tmp_path / "out")]

    done = CliRunner().invoke(
        app, ["learn", "evaluate", *options, "--page", str(tmp_path / "page.md")]
    )

    assert done.exit_code == 1
    assert "must hold the lines <!-- rheostat learn evaluate: begin -->" in done.stderr
    assert not (tmp_path / "out").exists()


def test_mistakes_of_an_evaluation_are_told_all_at_once(
    document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no policy at all")
    wrong = {
        **document,
        "policy": "notes.txt",
        "trained": [{"train": {"steps": "ten"}}],
        "unseen": [*document["unseen"], *document["unseen"]],
    }

    with pytest.raises(InvalidSpec) as caught:
        planned(wrong, tmp_path)

    fields = [one.field for one in caught.value.violations]
    assert fields == ["policy", "trained[0].train.steps", "unseen[1].name"]


def test_the_example_evaluates_the_shipped_controller() -> None:
    example = Path(__file__).parents[2] / "examples" / "evaluate_learned.yaml"

    plan = read_plan(example, {"mnist": "elsewhere"})

    assert [task.name for task in plan.tasks if not task.is_trained] == [
        "mnist-mlp",
        "fashion-mlp",
        "fashion-lenet5",
    ]
    assert next(t for t in plan.tasks if t.name == "mnist-mlp").spec.data.root == "elsewhere"
    seen = {task["spec"]["name"]: task["spec"] for task in plan.policy.configuration["tasks"]}
    for task in plan.tasks:
        if task.is_trained:
            trained = seen[task.name]
            assert trained["data"]["batch_size"] == task.spec.data.batch_size
            assert trained["train"]["steps"] == task.spec.train.steps
            assert trained["model"]["name"] == task.spec.model.name
        else:
            assert task.name not in seen
            assert task.spec.data.name not in {one["data"]["name"] for one in seen.values()}


def test_what_was_not_written_to_its_end_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    Notebook(file).note("one", an_outcome(0.5))
    file.write_bytes(file.read_bytes() + b'{"key":"two","outc')

    notebook = Notebook(file)
    notebook.note("three", an_outcome(0.25, diverged=True))

    assert Notebook(file).find("one") == an_outcome(0.5)
    assert Notebook(file).find("two") is None
    assert Notebook(file).find("three") == an_outcome(0.25, diverged=True)
