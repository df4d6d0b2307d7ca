"""What schedules say about arguments that make no sense, always in the same words."""

from rheostat_policies.schedules.api import ScheduleRun


def require(holds: bool, name: str, value: object, wish: str) -> None:
    """Refuse an argument unless a condition holds.

    Raises:
        ValueError: `name=value must wish`, which the spec shows beside the field.

    >>> require(0.5 > 0, "gamma", 0.5, "be greater than 0")
    """
    if not holds:
        raise ValueError(f"{name}={value} must {wish}")


def require_lr(name: str, value: float) -> float:
    """Return an LR, or another number that may be 0 but not below.

    Raises:
        ValueError: if it is negative.
    """
    require(value >= 0, name, value, "be at least 0")
    return value


def own_peak(run: ScheduleRun, name: str, value: float | None) -> float:
    """Return the LR that a schedule is made around: what its argument says, else the spec's.

    Raises:
        ValueError: if the argument is not above 0, or would overrule a group's own LR.
    """
    if value is None:
        return run.lr
    if run.lr_is_own:
        raise ValueError(
            f"{name}={value} leaves no say to the group's own lr={run.lr}; "
            f"leave {name} out, or give the group an lr_scale instead"
        )
    require(value > 0, name, value, "be greater than 0")
    return value
