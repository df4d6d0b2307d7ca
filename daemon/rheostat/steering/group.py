"""One param group's LR: its components and how they compose."""

import math

from rheostat.steering.guardrails import Guardrails
from rheostat.steering.motion import Motion
from rheostat.steering.operator import Operator
from rheostat.steering.records import GroupChange, GroupState
from rheostat.steering.segments import Segment
from rheostat_policies import Curve


class Group:
    """The composition law for one group.

    `gain` caches the product of factors and operator, which almost never moves: a plain step costs
    the schedule, one multiplication and one comparison.
    """

    __slots__ = (
        "base",
        "changed_at",
        "curve",
        "factor_motions",
        "factor_revisions",
        "factors",
        "gain",
        "guardrails",
        "is_moving",
        "learning_rate",
        "leaving",
        "lr_scale",
        "momentum",
        "name",
        "operator",
        "previous",
        "segment",
        "shadows",
        "touched",
    )

    def __init__(self, name: str, curve: Curve, lr_scale: float, guardrails: Guardrails) -> None:
        self.name = name
        self.segment = Segment(curve=curve)
        self.curve = curve
        """The segment's, by the steps of the run."""
        self.lr_scale = lr_scale
        self.guardrails = guardrails
        self.factors: dict[str, float] = {}
        """Of every policy, those in shadow too."""
        self.shadows: set[str] = set()
        """Policies whose factor does not act."""
        self.leaving: set[str] = set()
        """Policies that are forgotten once their factor is 1."""
        self.factor_motions: dict[str, Motion] = {}
        self.factor_revisions: dict[str, int] = {}
        self.operator = Operator()
        self.gain = 1.0
        self.is_moving = False
        self.base = math.nan
        self.learning_rate = math.nan
        self.momentum: float | None = None
        self.touched: tuple[str, ...] = ()
        self.previous = math.nan
        """LR that the optimizer had at the step before."""
        self.changed_at: int | None = None
        """Step of the newest change by an operator or a policy; None is never."""

    def base_at(self, step: int) -> float:
        """Return the schedule's LR at any step, with the group's `lr_scale`."""
        return self.curve.learning_rate(step) * self.lr_scale

    def begin(self, step: int) -> float:
        """Go to a step: remember what the optimizer has, then compose what it gets next."""
        self.previous = self.learning_rate
        if self.guardrails.remembers and not math.isnan(self.base):
            self.guardrails.note(self.previous, self.base, self.operator.hold is not None)
        self.base = self.curve.learning_rate(step) * self.lr_scale
        if self.curve.momentum is not None:
            self.momentum = self.curve.momentum(step)
        if self.is_moving:
            self.move_to(step)
        self.compose()
        return self.learning_rate

    def follow(self, segment: Segment, step: int) -> None:
        """Let another segment give the base LR, from the step begun on."""
        self.segment = segment
        self.curve = segment.as_curve()
        self.base = self.base_at(step)
        self.momentum = None if self.curve.momentum is None else self.curve.momentum(step)

    def compose(self) -> None:
        """Compose the LR of the step begun; as often as something changes at its boundary."""
        hold = self.operator.hold
        wanted = self.base * self.gain if hold is None else hold.value
        guardrails = self.guardrails
        # NaN fails the comparison and so takes the long way too.
        if not guardrails.remembers and (
            guardrails.min_lr <= wanted <= guardrails.max_lr < math.inf
        ):
            self.learning_rate = wanted
            self.touched = ()
        else:
            self.learning_rate, self.touched = guardrails.apply(
                wanted, self.base, self.previous, hold is not None
            )

    def move_to(self, step: int) -> None:
        """Bring factors and operator to a step and multiply them into the gain."""
        for policy, motion in list(self.factor_motions.items()):
            self.factors[policy] = motion.at(step)
            if motion.is_over(step):
                del self.factor_motions[policy]
                if policy in self.leaving:
                    self.forget(policy)
        if self.operator.is_moving:
            self.operator.move_to(step)
        self.gain = math.prod(self._acting().values()) * self.operator.value
        self.is_moving = bool(self.factor_motions) or self.operator.is_moving

    def aim(self, policy: str, factor: float, steps: int, step: int, revision: int) -> None:
        """Send a policy's factor to a new value."""
        self.factor_motions[policy] = Motion(self.factors[policy], factor, step, steps)
        self.factor_revisions[policy] = revision
        self.move_to(step)

    def admit(self, policy: str, is_shadow: bool, revision: int) -> None:
        """Give a policy a factor, which is 1 unless it has one still, which then stays."""
        # By name, as whoever gets them over the wire multiplies them.
        self.factors = dict(sorted({policy: 1.0, **self.factors}.items()))
        if self.factor_motions.pop(policy, None) is not None:
            self.factor_revisions[policy] = revision
        self.leaving.discard(policy)
        if is_shadow:
            self.put_in_shadow(policy)
        else:
            self.engage(policy, revision)

    def put_in_shadow(self, policy: str) -> None:
        """Let a policy's factor act no more; compose to see it."""
        self.shadows.add(policy)

    def engage(self, policy: str, revision: int) -> None:
        """Let the factor of a policy in shadow act, as it stands; compose to see it."""
        if policy in self.shadows:
            self.shadows.remove(policy)
            self.factor_revisions[policy] = revision

    def dismiss(self, policy: str, steps: int, step: int, revision: int) -> None:
        """Send a policy's factor to 1, and forget the policy once it is there."""
        if policy in self.shadows or self.factors[policy] == 1.0:
            self.forget(policy)
            return
        self.leaving.add(policy)
        self.aim(policy, 1.0, steps, step, revision)

    def forget(self, policy: str) -> None:
        """Drop a policy's factor."""
        for memory in (self.factors, self.factor_motions, self.factor_revisions):
            memory.pop(policy, None)
        self.shadows.discard(policy)
        self.leaving.discard(policy)

    def cool_at(self) -> int:
        """Return the first step at which the group may be changed again."""
        if self.changed_at is None or not self.guardrails.cool_down_steps:
            return 0
        return self.changed_at + self.guardrails.cool_down_steps

    def state(self) -> GroupState:
        """Return every component at the step begun."""
        hold = self.operator.hold
        return GroupState(
            name=self.name,
            learning_rate=self.learning_rate,
            base=self._told_base(),
            factors=self._acting(),
            operator=self.operator.value,
            hold=None if hold is None else hold.value,
            guardrails=self.touched,
            momentum=self.momentum,
            shadows={policy: self._with_shadow(policy) for policy in sorted(self.shadows)},
        )

    def revisions(self) -> set[int]:
        """Return the decisions that act on the LR of the step begun."""
        acting = self.operator.revisions() | set(self.segment.revisions)
        return acting | {
            revision
            for policy, revision in self.factor_revisions.items()
            if self.factors[policy] != 1.0 and policy not in self.shadows
        }

    def _acting(self, engaged: str = "") -> dict[str, float]:
        """Return the factors that act, with that of one policy in shadow if it is named."""
        silent = self.shadows - {engaged}
        return {policy: factor for policy, factor in self.factors.items() if policy not in silent}

    def _told_base(self) -> float:
        """Return the base as a record can hold it: 0 where the schedule gave no number."""
        return self.base if math.isfinite(self.base) else 0.0

    def _with_shadow(self, policy: str) -> float:
        """Return the LR that a policy in shadow would give, within the absolute bounds."""
        if self.operator.hold is not None:
            return self.learning_rate
        # Multiplied in the order of `move_to`, so that it is what engaging the policy gives.
        gain = math.prod(self._acting(engaged=policy).values()) * self.operator.value
        lr = self.guardrails.bound(self.base * gain)[0]
        return lr if math.isfinite(lr) else self.learning_rate

    def change_from(self, old: float, bent: tuple[str, ...] = ()) -> GroupChange:
        """Describe the way from an old LR to the present one.

        Args:
            old: the LR before.
            bent: guardrails that had bent what was asked for before it was composed.
        """
        hold = self.operator.hold
        return GroupChange(
            name=self.name,
            old=old,
            new=self.learning_rate,
            base=self._told_base(),
            factors=self._acting(),
            operator=self.operator.value,
            hold=None if hold is None else hold.value,
            guardrails=tuple(dict.fromkeys((*bent, *self.touched))),
        )
