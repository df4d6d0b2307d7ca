"""The evaluation itself: choose settings on seeds of their own, then run everybody on others."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TypeAlias, TypeVar

from rheostat.learning.evaluation import contenders
from rheostat.learning.evaluation.contenders import Contender
from rheostat.learning.evaluation.notebook import Notebook
from rheostat.learning.evaluation.settings import EvaluatedTask, EvaluationPlan, seeds_of
from rheostat.learning.evaluation.trial import Outcome, fingerprint, run_trial
from rheostat.trainer.devices import one_thread
from rheostat_policies.learned.answers import Anchored

_SEARCH_BEFORE = 1_000_000
"""How far the seeds that settings are chosen on lie from those of the tables."""

_CONTROLLED = 4
"""The controller, its base, its replay and random answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contender on one task."""

    contender: Contender
    rivals: int
    """Settings that it was chosen from."""
    outcomes: tuple[Outcome, ...]
    """A run each, in the order of the seeds."""

    @property
    def losses(self) -> list[float]:
        """Return the final validation losses."""
        return [outcome.validation_loss for outcome in self.outcomes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everybody on one task."""

    task: EvaluatedTask
    rows: tuple[Row, ...]

    def row(self, family: str) -> Row:
        """Return the row of a contender."""
        return next(row for row in self.rows if row.contender.family == family)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an evaluation is."""

    runs: int
    of: int
    """Runs in all."""
    task: str
    family: str
    """Of the contender that is about to run."""
    setting: str

    @property
    def doing(self) -> str:
        """Return what is about to run."""
        return f"{self.task}: {self.family} ({self.setting})"


T = TypeVar("T")
Runs: TypeAlias = Generator[Progress, None, T]
"""Yields before each run, and returns what comes of them."""


class Evaluation:
    """An evaluation under way.

    Args:
        plan: what to compare.
        file: keeps the outcome of every run, as JSON lines; those that it has are not run again.
    """

    def __init__(self, plan: EvaluationPlan, file: Path) -> None:
        self.results: list[Result] = []
        """Of each task that is done."""
        self._plan = plan
        self._seeds = seeds_of(plan.section.first_seed, plan.section.seeds)
        self._policy = plan.policy_file.read_bytes()
        self._notebook = Notebook(file)
        section = plan.section
        self._families = [
            contenders.step_decays(),
            *contenders.usual(section.peaks, section.usual),
        ]
        self._runs = 0

    @property
    def runs(self) -> int:
        """Number of runs in all, known ones among them."""
        searched = sum(self._runs_of(family) for family in self._families)
        per_task = searched + (len(self._families) + _CONTROLLED) * len(self._seeds)
        return per_task * len(self._plan.tasks)

    def run(self) -> Runs[None]:
        """Run what is not known yet."""
        one_thread()
        for task in self._plan.tasks:
            rows: list[Row] = []
            for family in self._families:
                chosen = yield from self._choose(task, family)
                rows.append((yield from self._row(task, chosen, len(family))))
            rows += yield from self._controlled(task)
            self.results.append(Result(task=task, rows=tuple(rows)))

    def _controlled(self, task: EvaluatedTask) -> Runs[list[Row]]:
        """Run the controller, and what shows where its worth comes from."""
        section, policy = self._plan.section, self._plan.policy
        lr, schedule = section.lr, section.schedule
        file = str(self._plan.policy_file.resolve())
        steered = yield from self._row(task, contenders.controller(lr, schedule, file))
        factors = [outcome.factors for outcome in steered.outcomes]
        replayed = contenders.replay(lr, schedule, factors, policy.every)
        random = contenders.random_answers(
            lr,
            schedule,
            every=policy.every,
            reach=policy.answers.reach if isinstance(policy.answers, Anchored) else 1.0,
            windows=len(factors[0]),
            seeds=self._seeds,
        )
        rows = [steered]
        for contender in (contenders.base(lr, schedule), replayed, random):
            rows.append((yield from self._row(task, contender)))
        return rows

    def _choose(self, task: EvaluatedTask, rivals: Sequence[Contender]) -> Runs[Contender]:
        """Return the rival with the lowest mean validation loss."""
        section = self._plan.section
        first, *others = seeds_of(section.first_seed + _SEARCH_BEFORE, section.search_seeds)
        losses: list[list[float]] = []
        for rival in rivals:
            outcome = yield from self._outcome(task, rival, first, is_tested=False)
            losses.append([outcome.validation_loss])
        ranked = sorted(range(len(rivals)), key=lambda index: losses[index][0])
        finalists = ranked[: section.finalists]
        for index in finalists:
            for seed in others:
                outcome = yield from self._outcome(task, rivals[index], seed, is_tested=False)
                losses[index].append(outcome.validation_loss)
        return rivals[min(finalists, key=lambda index: fmean(losses[index]))]

    def _runs_of(self, rivals: Sequence[Contender]) -> int:
        section = self._plan.section
        return len(rivals) + min(section.finalists, len(rivals)) * (section.search_seeds - 1)

    def _row(self, task: EvaluatedTask, contender: Contender, rivals: int = 1) -> Runs[Row]:
        outcomes = []
        for seed in self._seeds:
            outcomes.append((yield from self._outcome(task, contender, seed)))
        return Row(contender=contender, rivals=rivals, outcomes=tuple(outcomes))

    def _outcome(
        self, task: EvaluatedTask, contender: Contender, seed: int, *, is_tested: bool = True
    ) -> Runs[Outcome]:
        yield Progress(
            runs=self._runs,
            of=self.runs,
            task=task.name,
            family=contender.family,
            setting=contender.setting,
        )
        self._runs += 1
        spec = contender.spec(task.spec, seed)
        key = fingerprint(spec, self._policy if contender.family == contenders.CONTROLLER else b"")
        outcome = self._notebook.find(key)
        if outcome is None:
            outcome = run_trial(spec, self._plan.policy.every, is_tested=is_tested)
            self._notebook.note(key, outcome)
        return outcome
