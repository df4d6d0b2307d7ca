"""Rheostat: a training daemon whose learning rate can be changed while it trains.

`attach` makes a training script of one's own a run. It is imported when it is asked for, with
torch; this package alone imports nothing.

Rooms, looking only down: cli | integrations > attaching > app > client > trainer | api | telemetry
> runs > steering > spec > errors > rheostat_policies. `v1` holds the generated gRPC code that api
and client share.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rheostat.attaching import AttachedRun, Stopped, attach

__all__ = ["AttachedRun", "Stopped", "attach"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        import rheostat.attaching

        return getattr(rheostat.attaching, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
