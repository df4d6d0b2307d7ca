"""Roles, and what a call takes of them."""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Role(StrEnum):
    """What somebody may do; each role may do what those before it may."""

    VIEWER = "viewer"
    """Read and watch."""
    OPERATOR = "operator"
    """Change LRs and schedules, attach policies that come with the daemon, pause, stop."""
    ADMIN = "admin"
    """Create, roll back and delete runs, name code by import path."""

    def covers(self, other: "Role") -> bool:
        """Tell whether this role may do all that another may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Reach(Enum):
    """Which runs a role is needed for, where a call does not name one."""

    SOME = "some run"
    """At least one: what the call shows is then chosen run by run."""
    ALL = "all runs"
    """Every one, those of the future included."""


@dataclass(frozen=True, slots=True)
class Right:
    """What a call takes."""

    role: Role
    run: str | Reach
    """The run that it is about, or how many."""

    def __str__(self) -> str:
        """Return it as a phrase."""
        about = self.run.value if isinstance(self.run, Reach) else f"run {self.run}"
        return f"the role {self.role} for {about}"
