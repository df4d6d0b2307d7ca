"""A multiplier on its way from one value to another."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Motion:
    """A geometric walk: equal ratios at equal steps, so a halving looks the same everywhere.

        value(t) = start * (end / start) ** ((t - first_step + 1) / steps)

    The first step moves already, and `end` is reached at `first_step + steps - 1`: a walk of one
    step is a jump.
    """

    start: float
    """Value before the first step, > 0 unless `steps` is 1."""
    end: float
    """Value at the last step and ever after, > 0 unless `steps` is 1."""
    first_step: int
    steps: int

    def at(self, step: int) -> float:
        """Return the value at a step >= `first_step`."""
        done = step - self.first_step + 1
        if done >= self.steps:
            return self.end
        return float(self.start * (self.end / self.start) ** (done / self.steps))

    def is_over(self, step: int) -> bool:
        """Whether the value rests from this step on."""
        return step - self.first_step + 1 >= self.steps
