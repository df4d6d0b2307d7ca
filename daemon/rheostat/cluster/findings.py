"""What a daemon knows of a resource and its run at one moment: all that its status is made of."""

import msgspec

from rheostat.cluster.comparing import own_policies
from rheostat.cluster.reported import Acted
from rheostat.cluster.resources import TrainingRun
from rheostat.cluster.story import Story, drift
from rheostat.runs.records import RunView
from rheostat.steering.records import Decision

ACCEPTED = "Accepted"
LEARNING_RATE_APPLIED = "LearningRateApplied"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why the daemon could not do what a generation of the resource asks for."""

    generation: int
    condition: str
    """Type of the condition that says so: `Accepted` or `LearningRateApplied`."""
    reason: str
    """In one word, as Kubernetes has it: `InvalidSpec`."""
    message: str
    retry_at: float | None = None
    """When to try again, seconds since the epoch; None is not before the resource changes."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """One moment."""

    resource: TrainingRun
    daemon: str
    """Name of this daemon."""
    run: RunView | None = None
    """None before there is one, and when there is none any more."""
    story: Story = Story()
    acted: Acted = Acted()
    """The declaration last carried out."""
    refusals: tuple[Refusal, ...] = ()
    is_changed: bool = False
    """Whether the resource's `run` or `daemon` was changed after the run began."""
    is_steering: bool = False
    """Whether an LR, a pause or its end is on its way to the run."""
    now: float
    """Seconds since the epoch."""

    @property
    def is_lost(self) -> bool:
        """Whether there was a run, and the daemon knows it no more."""
        return self.run is None and self.resource.status.run != ""

    @property
    def drift(self) -> Decision | None:
        """The newest change by other ways than the resource that still acts."""
        if self.run is None or self.run.snapshot is None:
            return None
        snapshot = self.run.snapshot
        return drift(
            self.story,
            self.acted,
            own_policies(self.run),
            seen=snapshot.revision,
            in_force=snapshot.in_force,
        )

    def refusal(self, condition: str) -> Refusal | None:
        """Return why the present generation was refused; None where it was not."""
        for refusal in self.refusals:
            if (refusal.condition, refusal.generation) == (condition, self.resource.generation):
                return refusal
        return None
