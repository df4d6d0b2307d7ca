"""The policy contract: observations in, actions out, state passed by hand.

A policy is called at a step boundary of the training loop, in the trainer's process, between two
optimizer updates. It must not block, read clocks, or keep anything outside its state: the state is
checkpointed, shown to operators and replayed. If `decide` raises or answers nonsense, the run goes
on with the old state and the old factor, and the failure is counted and reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

State = Any
"""Whatever `json.dumps` takes. `decide` returns a new value rather than changing the old one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo:
    """What a policy may know of one param group before the run starts."""

    name: str
    """Unique within the run; the same in spec, metrics, logs and requests."""
    parameters: int
    """Number of trainable scalars in the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a policy may know of a run before it starts."""

    name: str
    steps: int
    """Planned number of optimizer steps."""
    groups: tuple[GroupInfo, ...]
    seed: int = 0
    """The run's seed; a policy that draws random numbers derives its own from it."""


class ProbeResult(NamedTuple):
    """What a `Probe` found."""

    factors: tuple[float, ...]
    """The factors that were tried, in the order asked for."""
    losses: tuple[tuple[float, ...], ...]
    """Training loss of each step, by factor; shorter where a loss was not finite, which then is
    the last one."""


class Observation(NamedTuple):
    """What a policy sees at one step boundary: the data of step `step`, the last one finished.

    A named tuple because one is made at every step of the loop; fields are only ever added at the
    end, with a default. `None` means not measured yet, or not at this step.
    """

    step: int
    """Index of the last finished optimizer step, counted from 0."""
    steps: int
    """Planned number of optimizer steps."""
    train_loss: float
    """Loss of that step's batch, measured before its update."""
    validation_loss: float | None = None
    """The newest validation loss."""
    validation_accuracy: float | None = None
    """The newest validation accuracy, 0 to 1; None where targets are not classes."""
    validation_step: int | None = None
    """Number of finished steps at that validation."""
    gradient_norm: float | None = None
    """Total gradient norm of that step before clipping, at the steps where it was measured."""
    learning_rate: Mapping[str, float] = {}
    """LR the optimizer used in that step, by group."""
    base: Mapping[str, float] = {}
    """LR the schedule alone asked for in that step, by group."""
    factor: Mapping[str, float] = {}
    """This policy's own factor in that step, by group."""
    gradient_alignment: float | None = None
    """Cosine of the angle between the total gradients of that step and the one before, both before
    clipping, -1 to 1. Measured at every step where a policy `observes` it, else never."""
    gradient_signal: float | None = None
    """Unbiased estimate of the squared norm of the true gradient, in that step. Measured, with
    `gradient_noise`, at every step where a policy `observes` it and there are micro-batches to
    compare (`train.accumulate` of 2 or more), else never."""
    gradient_noise: float | None = None
    """Unbiased estimate of the total variance of that step's gradient: the trace of the covariance
    between samples, divided by the samples of the batch. In the unit of `gradient_signal`."""
    group_gradient_norm: Mapping[str, float] = {}
    """Gradient norm of that step before clipping, by group. Measured at every step where a policy
    `observes` it, else empty."""
    prediction_variance: float | None = None
    """Variance of all outputs of a validation batch, mean over the batches of the newest
    validation. Like the four below, measured at each validation where a policy `observes` it."""
    prediction_change_variance: float | None = None
    """The same of the outputs' change since the validation before, sample by sample."""
    output_weight_mean: float | None = None
    """Mean of the output layer's weights, the last parameter of two or more dimensions, at the
    newest validation."""
    output_weight_variance: float | None = None
    """Variance of the same weights."""
    prediction_kl: float | None = None
    """Kullback-Leibler divergence of a classifier's predictions from those at the validation
    before, in nats: sum p_before * log(p_before / p_now), mean over the validation samples. None
    where outputs are not logits of classes, (B, C)."""
    probe: ProbeResult | None = None
    """What came of the `Probe` that this policy asked for in the step before; None where it asked
    for none, or where none could be made."""


OBSERVABLE = (
    "gradient_norm",
    "gradient_alignment",
    "gradient_signal",
    "gradient_noise",
    "group_gradient_norm",
    "prediction_variance",
    "prediction_change_variance",
    "output_weight_mean",
    "output_weight_variance",
    "prediction_kl",
)
"""Fields of an `Observation` that cost time, and so are measured only for who asks."""


MAX_PROBE_FACTORS = 32
"""Of one probe."""
MAX_PROBE_STEPS = 10_000
"""Of one probe, over all its trials: the run stands still for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A trial of some factors: from the present state some steps with each, and back to it.

    The run's own steps do not move on; afterwards it is as if nothing had been tried, bit for bit.
    A policy in shadow may ask too: a trial is the one place where its factor acts. Of the
    guardrails, the absolute bounds hold in a trial. What is longer than `MAX_PROBE_STEPS` over all
    factors is refused, as every action is that asks for what cannot be.
    """

    factors: tuple[float, ...]
    """The policy's own factor, for every group, in each trial; 1 to `MAX_PROBE_FACTORS` of them,
    finite, > 0."""
    steps: int
    """Optimizer steps of each trial, >= 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A wish to go back to a checkpoint and around the batches that did harm.

    The policy itself does not go back: it keeps the state that it answers with, and so knows what
    it has done already.
    """

    back_steps: int
    """Take the newest checkpoint that is at least so many steps old, >= 1, else the oldest."""
    skip_beyond: int = 0
    """Leave out every batch from there to the present one, and so many more, >= 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a policy answers: where it wants its own factor to be.

    The factor multiplies the schedule's present value, so a policy that drifts cannot lose the
    schedule. It starts at 1 and is bounded by the run's guardrails like any other wish.
    """

    factor: float | Mapping[str, float] | None = None
    """The new factor, for every group or by group name; finite, > 0. None keeps the old one."""
    ramp_steps: int = 1
    """Steps in which the factor gets there, geometrically; 1 is at once, at the next step."""
    reason: str = ""
    """One sentence for the decision record, e.g. "loss 9.1 is over 2 x its average of 2.3"."""
    probe: Probe | None = None
    """Factors to try out before the next step; the result comes with the next observation."""
    restore: Restore | None = None
    """Go back before anything else; `factor` then acts from the restored step on. Where there is no
    checkpoint, only `factor` acts, and that it could not be done is counted and told."""


KEEP = Action()
"""The action that changes nothing."""


class Policy(Protocol):
    """A plug-in that looks at observations and owns one multiplicative factor per group.

    A policy type is called once per run with the spec's `args` as keyword arguments; a mistake
    there is a `ValueError` that names the argument and its value.

    A policy may have an attribute `observes`, a collection of names: the fields of `Observation`
    that cost time and that it needs. They are those in `OBSERVABLE`; the others are there anyway.

    A policy that can mend a loss which is NaN or infinite has an attribute `mends_non_finite` that
    is true. Before such a loss ends the run it is asked, with that loss, and may answer with a
    `restore`; nobody else ever sees a loss that is not finite.
    """

    def initial_state(self, run: RunInfo) -> State:
        """Return the state before the first step."""
        ...

    def decide(self, state: State, observation: Observation) -> tuple[Action, State]:
        """Return the action that follows from an observation, and the next state."""
        ...
