"""The page of built-in policies, from their classes: what each does, and its arguments."""

import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any

from draw_schedules import arguments_of

from rheostat_policies import POLICIES

HEAD = """# Policies

The built-in policies as their classes describe them, written by `tools/reference.py` from the code.
[Policies](../policies.md) compares them and says when to take which, [plug-ins](../plugins.md) how
to write one.
Each is named in a spec as `policies: [{name: NAME, args: {...}}]`.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(_entry(name, policy) for name, policy in POLICIES.items())])


def _entry(name: str, policy: type) -> str:
    doc = inspect.getdoc(policy)
    assert doc, f"the policy {name} says nothing about itself"
    text, _, listed = doc.partition("\nRaises:")[0].partition("\nArgs:\n")
    says = dict(arguments_of(textwrap.dedent(listed)))
    signature = inspect.signature(policy).parameters
    silent = set(signature) - set(says)
    assert not silent, f"the policy {name} does not say what {', '.join(silent)} is"
    parts = [f"## {name}\n", *_blocks(text)]
    if signature:
        rows = [
            f"| `{each}` | {_default(parameter)} | {_escaped(says[each])} |"
            for each, parameter in signature.items()
        ]
        parts += ["\n".join(["| argument | default | meaning |", "|---|---|---|", *rows]) + "\n"]
    observes = getattr(policy, "observes", ())
    if observes and not isinstance(observes, property):
        parts.append(f"Observes {', '.join(f'`{each}`' for each in observes)}.\n")
    return "\n".join(parts)


def _blocks(text: str) -> Iterator[str]:
    """Return the paragraphs of a docstring; an indented one is a formula."""
    for paragraph in text.strip("\n").split("\n\n"):
        if paragraph.startswith("    "):
            yield f"```text\n{textwrap.dedent(paragraph)}\n```\n"
        else:
            yield _escaped(paragraph.strip()) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "required"
    value: Any = parameter.default
    return f"`{json.dumps(value)}`"
