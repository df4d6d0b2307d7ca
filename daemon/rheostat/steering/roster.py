"""The policies of a run: who is attached, who may come, and how each has behaved."""

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches

from rheostat.errors import FailedPrecondition, InvalidRequest, InvalidSpec, Violation
from rheostat.steering.policies import Attached, AttachedPolicy
from rheostat.steering.records import Offence, PolicyEdit, PolicyStatus, RemoteTerms, Verb
from rheostat.steering.remote import RemotePolicy
from rheostat.steering.wishes import as_asked
from rheostat_policies import Observation

MAX_POLICIES = 32
"""Of one run: each costs time at every step, and a few metric series."""

PolicyMaker = Callable[[PolicyEdit], AttachedPolicy]
"""Makes a policy that runs inside the trainer; raises `InvalidSpec` where the wish is wrong."""


class Roster:
    """The attached policies in the order they are asked, and what goes out to remote ones."""

    def __init__(
        self, policies: Sequence[Attached], groups: Sequence[str], make_policy: PolicyMaker
    ) -> None:
        self.policies: tuple[Attached, ...] = tuple(policies)
        self.own = self.policies
        """Those of the spec, also when they are detached."""
        self.outbox: list[tuple[str, Observation]] = []
        """Observations for remote policies, by their names; whoever sends them clears it."""
        self._groups = tuple(groups)
        self._make_policy = make_policy

    @property
    def remotes(self) -> Iterator[RemotePolicy]:
        """Yield the policies that answer over the network."""
        return (policy for policy in self.policies if isinstance(policy, RemotePolicy))

    @property
    def probing(self) -> Iterator[AttachedPolicy]:
        """Yield the policies that want something tried out before the step begun."""
        for policy in self.policies:
            if isinstance(policy, AttachedPolicy) and policy.probe is not None:
                yield policy

    def observes(self) -> frozenset[str]:
        """Return the costly fields of an `Observation` that some policy needs."""
        return frozenset(name for policy in self.policies for name in policy.observes)

    def prepare(self, verb: Verb, edit: PolicyEdit) -> Callable[[], None]:
        """Return what carries a wish out, once the groups have followed it.

        Raises:
            InvalidRequest, FailedPrecondition: if it cannot be carried out.
        """
        if verb is Verb.ATTACH:
            return self._prepare_attaching(edit)
        policy = self._find(edit.policy)
        match verb:
            case Verb.DETACH:
                return lambda: self._keep([one for one in self.policies if one is not policy])
            case Verb.SHADOW | Verb.ENGAGE:
                return lambda: setattr(policy, "is_shadow", verb is Verb.SHADOW)
            case _:
                return policy.record.revive

    def remote(self, name: str) -> RemotePolicy | None:
        """Return the remote policy of a name, None where there is none (any more)."""
        return next((policy for policy in self.remotes if policy.name == name), None)

    def inside(self, name: str) -> AttachedPolicy | None:
        """Return the policy of a name that runs inside the trainer, None where there is none."""
        found = (one for one in self.policies if one.name == name)
        return next((one for one in found if isinstance(one, AttachedPolicy)), None)

    def newly_benched(self) -> Iterator[Attached]:
        """Yield the policies that were benched since the last time."""
        for policy in self.policies:
            if policy.record.is_benched and not policy.record.is_told_benched:
                policy.record.is_told_benched = True
                yield policy

    def statuses(self) -> tuple[PolicyStatus, ...]:
        """Return where each policy stands."""
        return tuple(_status(policy) for policy in self.policies)

    def take_durations(self) -> dict[str, list[float]]:
        """Return how long each policy took for its answers since the last time, in seconds."""
        taken = {}
        for policy in self.policies:
            if policy.record.durations:
                taken[policy.name], policy.record.durations = policy.record.durations, []
        return taken

    def take_offences(self) -> list[Offence]:
        """Return the answers that were dropped by the clock since the last time."""
        taken: list[Offence] = []
        for policy in self.policies:
            if policy.record.offences:
                taken += policy.record.offences
                policy.record.offences = []
        return taken

    def _prepare_attaching(self, edit: PolicyEdit) -> Callable[[], None]:
        known = next((one for one in self.policies if one.name == edit.policy), None)
        terms = edit.remote
        if known is not None:
            if terms is not None and isinstance(known, RemotePolicy) and not known.is_connected:
                return lambda: _come_back(known, terms, edit.shadow)
            raise FailedPrecondition(
                f"a policy {edit.policy} is attached already; detach it first, or choose another"
            )
        if len(self.policies) >= MAX_POLICIES:
            raise FailedPrecondition(f"the run has {MAX_POLICIES} policies; detach one first")
        made = self.make(edit)
        return lambda: self._keep([*self.policies, made])

    def make(self, edit: PolicyEdit) -> Attached:
        """Make a policy that nobody has attached yet.

        Raises:
            InvalidRequest: if the wish for it is wrong.
        """
        if edit.remote is not None:
            return RemotePolicy(
                edit.policy, edit.remote, self._groups, self.outbox, is_shadow=edit.shadow
            )
        try:
            made = self._make_policy(edit)
        except InvalidSpec as error:
            raise InvalidRequest(as_asked(error, "policy")) from error
        made.edit = edit
        return made

    def _keep(self, policies: Sequence[Attached]) -> None:
        self.policies = tuple(policies)

    def _find(self, name: str) -> Attached:
        names = [policy.name for policy in self.policies]
        if name in names:
            return self.policies[names.index(name)]
        close = get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        expected = f"one of the run's policies ({', '.join(names) or 'there are none'}){hint}"
        raise InvalidRequest([Violation("policy", name, expected)])


def _come_back(policy: RemotePolicy, terms: RemoteTerms, is_shadow: bool) -> None:
    policy.come_back(terms)
    policy.is_shadow = is_shadow


def _status(policy: Attached) -> PolicyStatus:
    remote = policy if isinstance(policy, RemotePolicy) else None
    return PolicyStatus(
        name=policy.name,
        shadow=policy.is_shadow,
        benched=policy.record.is_benched,
        mode=remote.terms.mode if remote else "",
        connected=remote.is_connected if remote else None,
        outcomes=dict(policy.record.outcomes),
        failure=policy.record.last_failure,
        factors=dict(policy.factors),
    )
