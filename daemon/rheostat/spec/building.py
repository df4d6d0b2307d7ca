"""Schedules and policies by name: found, their arguments checked, then made."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Generic, TypeVar

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.arguments import check_arguments
from rheostat.spec.models import PolicySpec
from rheostat.spec.resolving import locate, resolve
from rheostat.spec.schedules import ScheduleSpec
from rheostat.spec.wording import field_path, written
from rheostat_policies import POLICIES, SCHEDULES, Curve, Policy, ScheduleRun

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginKind(Generic[T]):
    """One kind of plug-in that a spec may name."""

    builtins: Mapping[str, Callable[..., T]]
    """Factories that come with Rheostat, by name."""
    entry_points: str
    """Entry-point group of everybody else's."""
    leading: int
    """Number of positional arguments that Rheostat passes before the spec's own."""
    product: str
    """What a factory must return, in words."""
    is_product: Callable[[Any], bool]

    def find(self, name: str, path: str) -> Callable[..., T]:
        """Return the factory of a name.

        Raises:
            InvalidSpec: if there is none.
        """
        try:
            return resolve(name, builtins=self.builtins, entry_points=self.entry_points)
        except ValueError as error:
            raise InvalidSpec([Violation(f"{path}.name", name, str(error))]) from error

    def check_name(self, name: str, path: str) -> None:
        """Raise what `find` would raise of what can be known without importing anything."""
        try:
            locate(name, builtins=self.builtins, entry_points=self.entry_points)
        except ValueError as error:
            raise InvalidSpec([Violation(f"{path}.name", name, str(error))]) from error

    def check_args(self, factory: Callable[..., T], args: Mapping[str, Any], path: str) -> None:
        """Raise InvalidSpec if the arguments do not fit the factory's signature."""
        violations = check_arguments(factory, args, path=f"{path}.args", leading=self.leading)
        if violations:
            raise InvalidSpec(violations)

    def build(self, name: str, args: Mapping[str, Any], *leading: object, path: str) -> T:
        """Find a factory, check its arguments and call it.

        Raises:
            InvalidSpec: if the name, the arguments or what comes out of it are wrong.
        """
        factory = self.find(name, path)
        self.check_args(factory, args, path)
        try:
            made = factory(*leading, **args)
        except ValueError as error:
            raise InvalidSpec([_refusal(str(error), args, f"{path}.args")]) from error
        except Exception as error:  # other people's code: anything may go wrong in it
            problem = f"failed with {type(error).__name__}: {error}"
            raise InvalidSpec([Violation(f"{path}.name", name, problem)]) from error
        if not self.is_product(made):
            problem = f"must make {self.product}, but made a {type(made).__name__}"
            raise InvalidSpec([Violation(f"{path}.name", name, problem)])
        return made


SCHEDULE: PluginKind[Curve] = PluginKind(
    builtins=SCHEDULES,
    entry_points="rheostat.schedules",
    leading=1,
    product="a rheostat_policies.Curve",
    is_product=lambda made: isinstance(made, Curve),
)
POLICY: PluginKind[Policy] = PluginKind(
    builtins=POLICIES,
    entry_points="rheostat.policies",
    leading=0,
    product="an object with initial_state and decide",
    is_product=lambda made: all(
        callable(getattr(made, method, None)) for method in ("initial_state", "decide")
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyType:
    """A policy that can be attached by name."""

    name: str
    summary: str
    """First line of its documentation; empty where it would have to be imported to be read."""
    origin: str
    """`built-in`, or the distribution that installed it."""


def policy_types() -> list[PolicyType]:
    """Return what can be attached by name: built-in policies, then installed ones."""
    builtins = [
        PolicyType(name=name, summary=_summary(policy), origin="built-in")
        for name, policy in sorted(POLICIES.items())
    ]
    points = sorted(metadata.entry_points(group=POLICY.entry_points), key=lambda one: one.name)
    return builtins + [
        PolicyType(name=one.name, summary="", origin=one.dist.name if one.dist else "")
        for one in points
    ]


def _summary(policy: Callable[..., Policy]) -> str:
    return (inspect.getdoc(policy) or "").partition("\n")[0]


def build_schedule(spec: ScheduleSpec, run: ScheduleRun, *, path: str = "schedule") -> Curve:
    """Make the curve of one group.

    Args:
        spec: its name and arguments.
        run: what it is made for.
        path: where it stands in the whole spec or request, for errors.

    Raises:
        InvalidSpec: if the schedule is unknown or refuses its arguments.
    """
    return SCHEDULE.build(spec.name, spec.args, run, path=path)


def build_policy(spec: PolicySpec, *, path: str = "policies") -> Policy:
    """Make a policy.

    Args:
        spec: its name and arguments.
        path: where it stands in the whole spec, e.g. `policies[0]`.

    Raises:
        InvalidSpec: if the policy is unknown or refuses its arguments.
    """
    return POLICY.build(spec.name, spec.args, path=path)


def _refusal(text: str, args: Mapping[str, Any], path: str) -> Violation:
    """Turn `gamma=-1 must be greater than 0` into a violation of the field it speaks of."""
    named = re.match(r"(\w+)=(\S+) (?P<expected>must .*)", text)
    if named and named[1] in args:
        field = field_path((named[1],), path)
        return Violation(field, written(args[named[1]]), named["expected"])
    return Violation(path, "", text)
