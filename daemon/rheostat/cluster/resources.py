"""A TrainingRun as the API server gives it, read into what the daemon asks of it."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec
from pydantic import ValidationError

from rheostat.cluster.declaration import Declaration
from rheostat.cluster.names import FINALIZER
from rheostat.cluster.reported import Status

_NOBODY = "kubernetes"


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True):
    """One resource at one moment."""

    name: str
    namespace: str
    uid: str
    generation: int
    """Counts changes of the spec."""
    resource_version: str
    """Names this moment; writes that carry it fail if the resource has changed since."""
    finalizers: tuple[str, ...]
    is_deleting: bool
    principal: str
    """Who changed the spec last: `kubernetes:<field manager>`, `kubernetes` where nobody knows."""
    run: dict[str, Any]
    """The run's spec, as written."""
    declaration: Declaration | None
    """The rest of the spec; None where it is not well-formed."""
    mistake: str = ""
    """What is wrong with the declaration; empty where nothing is."""
    status: Status
    reported: dict[str, Any]
    """The status, as the API server has it."""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Read what the API server sent."""
        metadata, spec = document["metadata"], dict(document.get("spec", {}))
        run = spec.pop("run", {})
        declaration, mistake = _declaration(spec)
        if declaration is not None and declaration.attached and run:
            mistake = "spec.run: nothing, since an attached script says what it trains"
            declaration = None
        return cls(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            resource_version=metadata["resourceVersion"],
            finalizers=tuple(metadata.get("finalizers", ())),
            is_deleting="deletionTimestamp" in metadata,
            principal=_principal(metadata.get("managedFields", ())),
            run={"name": metadata["name"], **run},
            declaration=declaration,
            mistake=mistake,
            status=_status(document.get("status", {})),
            reported=document.get("status", {}),
        )

    def is_older_than(self, other: "TrainingRun") -> bool:
        """Whether this is an earlier moment of the same resource.

        Answers and watches come by different connections, and may overtake each other. Versions are
        numbers in every API server there is; any other are taken as they come.
        """
        ours, theirs = self.resource_version, other.resource_version
        return ours.isdecimal() and theirs.isdecimal() and int(ours) < int(theirs)

    @property
    def is_attached(self) -> bool:
        """Whether it stands for a script that is attached, and not for a run of a spec."""
        return self.declaration is not None and self.declaration.attached

    @property
    def is_guarded(self) -> bool:
        """Whether it cannot vanish before its run has stopped."""
        return FINALIZER in self.finalizers


def _declaration(spec: Mapping[str, Any]) -> tuple[Declaration | None, str]:
    try:
        return Declaration.model_validate(spec), ""
    except ValidationError as error:
        mistakes = (
            f"spec.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        return None, "; ".join(mistakes)


def _status(status: Mapping[str, Any]) -> Status:
    """Return what was reported before; nothing where another version reported otherwise."""
    try:
        return Status.model_validate(status)
    except ValidationError:
        return Status()


def _principal(entries: Any) -> str:
    """Return the newest field manager of the spec; of equally new ones the one named last."""
    touched = [
        (entry.get("time", ""), index, entry.get("manager", ""))
        for index, entry in enumerate(entries)
        if "f:spec" in entry.get("fieldsV1", {})
    ]
    manager = max(touched, default=("", 0, ""))[2]
    return f"{_NOBODY}:{manager}" if manager else _NOBODY
