"""What a launcher is told by the spec, and tells the ranks that it starts by their environment."""

import msgspec

STORE_VARIABLE = "RHEOSTAT_RANKS"
"""Path of the file by which the ranks of one machine meet; where there are several, torch's own
variables say where."""
LAUNCHER_VARIABLE = "RHEOSTAT_LAUNCHER"
"""Process id of the launcher, without which no rank lives."""
LEADS_VARIABLE = "RHEOSTAT_LEADS"
"""There where the daemon is: the first rank of that machine leads."""
RANK_VARIABLE = "RANK"
LOCAL_RANK_VARIABLE = "LOCAL_RANK"
WORLD_SIZE_VARIABLE = "WORLD_SIZE"


class Size(msgspec.Struct):
    """How many processes a spec asks for."""

    processes: int
    nodes: int
    min_nodes: int | None
