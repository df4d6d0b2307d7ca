"""A learned policy as a file: safetensors, with everything that is not a weight in its metadata.

The metadata has one key, `rheostat.learned`, a JSON object:

    version         of this layout
    every           steps from one decision to the next
    features        names of what the network sees, in its order
    normaliser      mean, deviation and clip of those features
    answers         what its outputs mean
    activation      between its layers
    provenance      who made it, with what
    configuration   of the training, as it was given

Nothing in it is executed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rheostat_policies.learned.answers import Answer, answer_of
from rheostat_policies.learned.features import FEATURES
from rheostat_policies.learned.network import Network, network_of
from rheostat_policies.learned.normaliser import Normaliser, normaliser_of
from rheostat_policies.learned.tensors import pack, unpack

VERSION = 1
KEY = "rheostat.learned"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedPolicy:
    """What training leaves behind: all that it takes to decide."""

    every: int
    """Steps from one decision to the next, >= 1."""
    features: tuple[str, ...]
    normaliser: Normaliser
    network: Network
    answers: Answer
    provenance: Mapping[str, Any]
    """Who made it, with what: versions, seed, steps."""
    configuration: Mapping[str, Any]
    """Of the training, as it was given."""

    def to_bytes(self) -> bytes:
        """Return the file; the same policy gives the same bytes."""
        document = {
            "version": VERSION,
            "every": self.every,
            "features": list(self.features),
            "normaliser": self.normaliser.settings(),
            "answers": asdict(self.answers),
            "activation": self.network.activation,
            "provenance": dict(self.provenance),
            "configuration": dict(self.configuration),
        }
        text = json.dumps(document, sort_keys=True, allow_nan=False)
        return pack(self.network.arrays(), {KEY: text})


def read_policy_file(path: Path) -> LearnedPolicy:
    """Read a learned policy.

    Raises:
        ValueError: if the file cannot be read, is damaged, or observes what this version of
            Rheostat cannot show it; says which, as a phrase about "it".
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    arrays, metadata = unpack(content)
    if KEY not in metadata:
        raise ValueError("it holds arrays but no learned policy")
    try:
        document = json.loads(metadata[KEY])
        if document["version"] != VERSION:
            raise ValueError(
                f"it has version {document['version']} of the layout, and {VERSION} is read; "
                "install the version of Rheostat that made it, or train it anew"
            )
        features = tuple(document["features"])
        _check_features(features, document["provenance"])
        answers = answer_of(document["answers"])
        every = document["every"]
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"it decides every {every!r} steps")
        return LearnedPolicy(
            every=every,
            features=features,
            normaliser=normaliser_of(document["normaliser"], len(features)),
            network=network_of(arrays, document["activation"], len(features), answers.outputs),
            answers=answers,
            provenance=document["provenance"],
            configuration=document["configuration"],
        )
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its description is damaged: {type(error).__name__}: {error}") from error


def _check_features(features: tuple[str, ...], provenance: Mapping[str, Any]) -> None:
    for index, name in enumerate(features):
        if name not in FEATURES:
            close = get_close_matches(str(name), FEATURES, n=1)
            hint = f", whose nearest is {close[0]}" if close else ""
            made_by = provenance.get("rheostat", "that made it")
            raise ValueError(
                f"its features[{index}] is {name!r}, which this version of Rheostat does not "
                f"measure{hint}; install Rheostat {made_by}, or train it anew"
            )
