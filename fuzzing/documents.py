"""Random specs: true ones with something wrong, and texts that never were one."""

import json
import random
from itertools import pairwise
from typing import Any

BEGINNING: dict[str, Any] = {
    "name": "fuzzed",
    "model": {"name": "mlp", "args": {"hidden": [32]}},
    "data": {"name": "digits", "batch_size": 64, "validation": 0.1},
    "optimizer": {"name": "AdamW", "lr": 1e-3, "args": {"weight_decay": 0.01}},
    "groups": [{"name": "biases", "match": ".*bias", "lr_scale": 0.5}, {"preset": "head"}],
    "schedule": {"name": "warmup_cosine", "args": {"warmup_steps": 100}},
    "policies": [{"name": "loss_spike", "args": {"cut": 0.5}}, {"name": "plateau"}],
    "guardrails": {"max_lr": 0.1, "groups": {"biases": {"min_lr": 0.0}}},
    "train": {"steps": 1000, "seed": 1, "loss": "cross_entropy"},
    "evaluate": {"every": 100},
}
KEYS = ("name", "args", "lr", "steps", "when", "\0", "x" * 200)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    1e999,
    float("nan"),
    2**70,
    "",
    "x",
    "os:system",
    "/etc/passwd",
    "../..",
    "x" * 10_000,
    "\ud800",
    [],
    {},
    [[[[]]]],
    {"name": "SequentialLR", "args": {"schedules": []}},
    {"name": {"name": {}}},
    "step",
    "10 epochs",
    {"a": "b:c"},
)


def _multiplying(first: str, line: str, letters: str) -> str:
    """Return a document of which each line uses the one before four times."""
    return first + "".join(
        line.format(this=this, before=f"*{before},*{before},*{before},*{before}")
        for before, this in pairwise(letters)
    )


BOMBS = (
    _multiplying("a: &a [x,x]\n", "{this}: &{this} [{before}]\n", "abcdefgh"),
    _multiplying("a: &a {x: 1}\n", "{this}: &{this} {{<<: [{before}]}}\n", "abcdefghijk"),
    "[" * 500,
    "{" * 500,
    "!!python/object/apply:os.system [id]",
    "a: &a {b: *a}",
    "? " * 300,
    "- " * 300,
    "\t",
    "%YAML 9.9\n---\n",
    "--- a\n--- b",
    "a: !!binary x",
    "a: 2001-01-01",
    "a: 0x" + "f" * 5000,
    "a: |\n" + " x\n" * 3000,
)


def random_document(draw: random.Random) -> str:
    """Return the text of a spec that is almost right, or of none at all."""
    kind = draw.random()
    if kind < 0.05:
        return draw.choice(BOMBS)
    document = json.loads(json.dumps(BEGINNING))
    for _ in range(draw.randrange(1, 5)):
        _change(draw, document)
    text = json.dumps(document)
    if kind < 0.3:
        place = draw.randrange(len(text))
        text = (
            text[:place]
            + draw.choice(["", ",", "{", "\0", "]", "\ud800", ": "])
            + text[place + 1 :]
        )
    return text.encode("utf-8", "replace").decode()


def _change(draw: random.Random, document: dict[str, Any]) -> None:
    """Change something somewhere: another value, another key, or one less."""
    here: Any = document
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = draw.choice(keys)
        if isinstance(here[key], dict | list) and here[key] and draw.random() < 0.7:
            here = here[key]
            continue
        match draw.randrange(3):
            case 0:
                here[key] = draw.choice(VALUES)
            case 1 if isinstance(here, dict):
                here[draw.choice(["name", "args", "lr", "steps", "when", "\0", "x" * 200])] = (
                    here.pop(key)
                )
            case _:
                del here[key]
        return
