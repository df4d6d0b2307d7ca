"""Draw docs/law.svg: one group's LR by the composition law, part by part, as `Steering` makes it.

`python tools/draw_law.py` steers a run of a thousand steps that trains nothing (its losses are made
up) and draws what came out; `--check` fails if what is committed is not what would be drawn.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rheostat.spec.models import GuardrailsSpec
from rheostat.steering.group import Group
from rheostat.steering.guardrails import guardrails_of
from rheostat.steering.policies import AttachedPolicy
from rheostat.steering.records import Change, GroupState, Verb
from rheostat.steering.steering import Steering
from rheostat_policies import POLICIES, SCHEDULES, GroupInfo, RunInfo, ScheduleRun

FILE = Path(__file__).resolve().parent.parent / "docs/law.svg"
STEPS, PEAK = 1000, 1e-3
SPIKE_AT = 250
CHANGES = (
    Change(verb=Verb.SCALE, value=0.5, at_step=430),
    Change(verb=Verb.HOLD, value=3e-4, at_step=560, expires_after_steps=120),
    Change(verb=Verb.SCALE, value=6.0, at_step=780),
)
GUARDRAILS = GuardrailsSpec(max_ratio_to_base=1.6)

LEFT, WIDTH, ROW, GAP, TOP = 170.0, 560.0, 74.0, 30.0, 34.0
STYLE = """
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .faint { fill: #656d76 }
  .axis { stroke: #d0d7de } .base { stroke: #57606a } .factor { stroke: #bc4c00 }
  .operator { stroke: #8250df } .wanted { stroke: #cf222e } .applied { stroke: #0969da }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #161b22 } .ink { fill: #e6edf3 } .faint { fill: #9198a1 }
    .axis { stroke: #3d444d } .base { stroke: #9198a1 } .factor { stroke: #f0883e }
    .operator { stroke: #bc8cff } .wanted { stroke: #ff7b72 } .applied { stroke: #58a6ff }
  }
  text { font: 12px system-ui, sans-serif } .name { font-weight: 600 }
  polyline { fill: none; stroke-width: 1.8 } .wanted { stroke-dasharray: 4 3 }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One of the pictures below each other: lines by their class, and what is said of them."""

    name: str
    says: str
    lines: dict[str, list[float]]
    notes: tuple[tuple[int, str], ...] = ()
    """Words at a step."""


def steered() -> list[GroupState]:
    """Return how the LR comes about at each step."""
    info = (GroupInfo(name="default", parameters=1),)
    run = RunInfo(name="law", steps=STEPS, groups=info)
    schedule = ScheduleRun(lr=PEAK, steps=STEPS, steps_per_epoch=100)
    curve = SCHEDULES["warmup_cosine"](schedule, warmup_steps=100)
    guards = guardrails_of(GUARDRAILS, curve.learning_rate, STEPS)
    policy = AttachedPolicy("loss_spike", POLICIES["loss_spike"](hold_steps=60), run)
    clock = itertools.count(1)
    steering = Steering(
        [Group("default", curve, 1.0, guards)],
        [policy],
        lambda: float(next(clock)),
        steps=STEPS,
        make_curve=lambda group, schedule, steps: curve,
        make_policy=lambda edit: policy,
    )
    states = []
    for step in range(STEPS):
        loss = 9.0 if step - 1 == SPIKE_AT else 1.0
        steering.advance(step, (step - 1, STEPS, loss, None, None, None, None) if step else None)
        for ticket, change in enumerate(CHANGES if step == 0 else ()):
            steering.submit(ticket, change)
        steering.settle()
        states += steering.states()
    return states


def rows(states: Sequence[GroupState]) -> list[Row]:
    """Return what is drawn below each other."""

    def each(read: Callable[[GroupState], float]) -> list[float]:
        return [read(state) for state in states]

    def wanted(state: GroupState) -> float:
        if state.hold is not None:
            return state.hold
        return state.base * state.factors["loss_spike"] * state.operator

    scale, hold, more = (change.at_step or 0 for change in CHANGES)
    return [
        Row("base", "the schedule", {"base": each(lambda one: one.base)}),
        Row(
            "\N{MULTIPLICATION SIGN} factors",
            "one per policy",
            {"factor": each(lambda one: one.factors["loss_spike"])},
            ((SPIKE_AT, "loss_spike sees a spike, cuts, comes back"),),
        ),
        Row(
            "\N{MULTIPLICATION SIGN} operator",
            "what people asked for",
            {"operator": each(lambda one: one.operator)},
            ((scale, "scale 0.5"), (more, "scale 6")),
        ),
        Row(
            "LR",
            "after hold and guardrails",
            {"wanted": each(wanted), "applied": each(lambda one: one.learning_rate)},
            ((hold, "hold 3e-4"), (more, "bent by max_ratio_to_base")),
        ),
    ]


def picture(drawn: Sequence[Row]) -> str:
    """Return the SVG."""
    height = TOP + len(drawn) * (ROW + GAP)
    total = LEFT + WIDTH + 50.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:g} {height:g}" '
        f'width="{total:g}" height="{height:g}" role="img" aria-labelledby="title">',
        '<title id="title">How a learning rate comes about over a thousand steps: the schedule, '
        "times the factor of a policy, times the operator's, unless it is held, bounded by "
        "guardrails</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{total:g}" height="{height:g}" rx="8"/>',
    ]
    for index, row in enumerate(drawn):
        parts += _row(row, TOP + index * (ROW + GAP))
    axis = height - 8.0
    parts += [
        f'<text class="faint" x="{LEFT + WIDTH * at / STEPS:g}" y="{axis:g}" '
        f'text-anchor="middle">{at}</text>'
        for at in range(0, STEPS, 200)
    ]
    parts.append(
        f'<text class="faint" x="{LEFT + WIDTH:g}" y="{axis:g}" text-anchor="end">step</text>'
    )
    return "\n".join([*parts, "</svg>\n"])


def _row(row: Row, top: float) -> Iterator[str]:
    # A wish that is bent away would make what is applied too small to see.
    highest = 1.05 * max(row.lines.get("applied", max(row.lines.values(), key=max)))
    yield f'<text class="ink name" x="14" y="{top + 30:g}">{row.name}</text>'
    yield f'<text class="faint" x="14" y="{top + 47:g}">{row.says}</text>'
    yield f'<path class="axis" d="M{LEFT:g} {top + ROW:g}h{WIDTH:g}"/>'
    for name, values in row.lines.items():
        points = " ".join(
            f"{LEFT + WIDTH * step / STEPS:.1f},{top + ROW * (1 - min(1, value / highest)):.1f}"
            for step, value in enumerate(values)
            if step % 4 == 0
        )
        yield f'<polyline class="{name}" points="{points}"/>'
    for step, says in row.notes:
        x = LEFT + WIDTH * step / STEPS
        yield f'<path class="axis" d="M{x:.1f} {top - 8:g}V{top + ROW:g}"/>'
        yield f'<text class="faint" x="{x + 4:.1f}" y="{top - 8:g}">{says}</text>'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    checking = parser.parse_args().check
    drawn = picture(rows(steered()))
    if not checking:
        FILE.write_text(drawn)
        return 0
    if FILE.exists() and FILE.read_text() == drawn:
        return 0
    print(f"{FILE.name} is not up to date, run `make generate`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
