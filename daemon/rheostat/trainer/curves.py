"""Each group's schedule: from the spec when the run is built, from an edit while it trains."""

from collections.abc import Sequence

from torch.optim import Optimizer

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.building import build_schedule
from rheostat.spec.models import Spec
from rheostat.spec.schedules import ScheduleSpec
from rheostat.trainer.data.batches import Batches
from rheostat.trainer.groups import ParamGroup
from rheostat.trainer.optimizers import groups_with_momentum, lrs_of
from rheostat_policies import Curve, ScheduleRun


class CurveShop:
    """Makes curves for the groups of one run; equal ones are made once.

    Args:
        spec: the run's.
        groups: its param groups.
        optimizer: made for them.
        batches: what an epoch is.
    """

    def __init__(
        self, spec: Spec, groups: Sequence[ParamGroup], optimizer: Optimizer, batches: Batches
    ) -> None:
        self._spec = spec
        self._groups = {group.name: group for group in groups}
        self._lrs = dict(zip(self._groups, lrs_of(groups, optimizer), strict=True))
        self._has_momentum = dict(zip(self._groups, groups_with_momentum(optimizer), strict=True))
        self._batches = batches
        self._made: list[tuple[ScheduleRun, ScheduleSpec, Curve]] = []

    def make(self, group: str, schedule: ScheduleSpec | None, steps: int) -> Curve:
        """Return the curve of a group, before `lr_scale`.

        Args:
            group: its name.
            schedule: what to make; None is what the spec says for the group.
            steps: planned optimizer steps, from the curve's own first.

        Raises:
            InvalidSpec: if the schedule refuses its arguments, or moves a momentum that the
                group's optimizer does not have.
        """
        terms, path = self._groups[group].terms, "schedule"
        if schedule is None:
            schedule, path = terms.schedule or self._spec.schedule, terms.schedule_path
        run = ScheduleRun(
            lr=self._lrs[group],
            steps=steps,
            steps_per_epoch=self._batches.steps_per_epoch,
            batch_size=self._spec.data.batch_size,
            lr_is_own=self._groups[group].lr is not None or terms.optimizer is not None,
        )
        curve = self._make_once(run, schedule, path)
        if curve.momentum is not None and not self._has_momentum[group]:
            expected = f"false: the optimizer of group {group} has no momentum to cycle"
            raise InvalidSpec([Violation(f"{path}.args.cycle_momentum", "true", expected)])
        return curve

    def _make_once(self, run: ScheduleRun, schedule: ScheduleSpec, path: str) -> Curve:
        for known_run, known_schedule, curve in self._made:
            if (known_run, known_schedule) == (run, schedule):
                return curve
        curve = build_schedule(schedule, run, path=path)
        self._made.append((run, schedule, curve))
        return curve
