"""Who has which role for which runs: from a file, which is read again when it changes.

bindings:
  - {role: viewer, principals: ["*"]}
  - {role: operator, principals: [ada, "spiffe://example.org/team-a/*"], runs: ["team-a-*"]}
  - {role: admin, groups: [platform]}
approvals:
  - {runs: ["prod-*"], ratio: 2.0, expires_seconds: 600}
"""

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from rheostat.door.identity import Identity
from rheostat.door.reloading import Reloaded
from rheostat.door.roles import Reach, Right, Role
from rheostat.errors import InvalidRequest, InvalidSpec, Violation
from rheostat.spec.loading import read_document
from rheostat.spec.section import Section
from rheostat.spec.wording import violations_of

EVERY_RUN = "*"
MAX_BYTES = 2**20
"""Of a file of roles."""

Pattern = Annotated[str, Field(min_length=1)]


class Binding(Section):
    """A role, for whom and where. In patterns `*` stands for any characters and `?` for one."""

    role: Role
    principals: tuple[Pattern, ...] = ()
    """Patterns of names."""
    groups: tuple[Pattern, ...] = ()
    """Patterns of groups, which only Kubernetes tells of."""
    runs: tuple[Pattern, ...] = (EVERY_RUN,)
    """Patterns of runs."""

    @model_validator(mode="after")
    def _is_for_somebody(self) -> "Binding":
        if not self.principals and not self.groups:
            raise ValueError("principals or groups: a binding is for somebody")
        if not self.runs:
            raise ValueError("runs: a binding is for some run; without runs it is for all")
        return self

    def allows(self, identity: Identity, right: Right) -> bool:
        """Tell whether the binding gives somebody a right."""
        return self.role.covers(right.role) and self._is_for(identity) and self._reaches(right.run)

    def _is_for(self, identity: Identity) -> bool:
        return _any(self.principals, identity.principal) or any(
            _any(self.groups, group) for group in identity.groups
        )

    def _reaches(self, run: str | Reach) -> bool:
        if run is Reach.SOME:
            return True
        if run is Reach.ALL:
            return EVERY_RUN in self.runs
        return _any(self.runs, run)


class Approval(Section):
    """Which runs' changes wait until somebody else approves them."""

    runs: tuple[Pattern, ...] = (EVERY_RUN,)
    """Patterns of runs."""
    ratio: float = Field(default=1.0, ge=1)
    """Largest factor by which one person may move an LR, up or down; 1 is not at all."""
    expires_seconds: float = Field(default=600.0, gt=0, le=7 * 86_400)
    """Time after which a change that nobody approved is dropped."""


class RolesDocument(Section):
    """A whole file."""

    bindings: tuple[Binding, ...] = ()
    approvals: tuple[Approval, ...] = ()
    """Where changes take a second principal; of several that fit a run the first counts."""


class OwnRole:
    """Lets everybody do what the role allows that came with the proof of their name."""

    async def allows(self, identity: Identity, right: Right) -> bool:
        """Tell whether an identity's own role, which is for all runs, is enough."""
        return identity.role is not None and identity.role.covers(right.role)


class RolesFile:
    """Lets everybody do what the bindings of a file allow."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            InvalidRequest: if it cannot be read or makes no sense.
        """
        self._document = Reloaded([path], lambda: read_roles(path))

    async def allows(self, identity: Identity, right: Right) -> bool:
        """Tell whether one of the bindings of the moment gives somebody a right."""
        return any(one.allows(identity, right) for one in self._document.current().bindings)

    def approval_of(self, run: str) -> Approval | None:
        """Return when changes of a run take a second principal; None where one is enough."""
        fitting = (one for one in self._document.current().approvals if _any(one.runs, run))
        return next(fitting, None)


def read_roles(path: Path) -> RolesDocument:
    """Read a file of roles.

    Raises:
        InvalidRequest: with everything that is wrong with it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InvalidRequest([Violation("roles", str(path), f"at most {MAX_BYTES} bytes")])
        document = read_document(content.decode(), str(path))
        return RolesDocument.model_validate_json(json.dumps(document), strict=True)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest([Violation("roles", str(path), f"a file ({error})")]) from error
    except InvalidSpec as error:
        raise InvalidRequest(error.violations) from error
    except ValidationError as failure:
        found = violations_of(failure.errors(include_url=False), document)
        raise InvalidRequest(
            Violation(f"roles ({path}): {one.field}", one.value, one.expected) for one in found
        ) from failure


def _any(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
