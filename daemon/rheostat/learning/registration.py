"""The ids under which gymnasium makes the environment.

    import rheostat.learning
    environment = gymnasium.make("rheostat/LearningRate-v0", tasks=[{"spec": {...}}])

or `gymnasium.make("rheostat.learning:rheostat/LearningRate-v0")` without the import. Keyword
arguments are those of `rheostat.learning.environment.make_environment`.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium

ENTRY_POINT = "rheostat.learning.environment:make_environment"
IDS: Mapping[str, Mapping[str, Any]] = {
    "rheostat/LearningRate-v0": {"mode": "anchored"},
    "rheostat/Xu2019-v0": {"mode": "xu2019", "discrete": True},
    "rheostat/Xu2019Continuous-v0": {"mode": "xu2019", "discrete": False},
}
"""Settings that each id stands for."""


def register() -> None:
    """Make the ids known to gymnasium; again has no effect."""
    for name, settings in IDS.items():
        if name not in gymnasium.registry:
            gymnasium.register(id=name, entry_point=ENTRY_POINT, kwargs=dict(settings))
