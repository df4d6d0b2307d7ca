"""Where a run stands, for all parts of steering."""

from dataclasses import dataclass


@dataclass(slots=True)
class Course:
    """The step that is being decided, and how many there are to be."""

    steps: int
    """Planned optimizer steps; a `horizon` changes it."""
    step: int = -1
    """Index of the step whose LRs are decided; -1 before the first."""
    skipped: int = 0
    """Batches left out so far: step k trains on batch k + skipped."""
    has_moved: bool = False
    """Whether factors or operators have moved at this boundary, decided or on their way."""
