"""`python -m tests.crash`: kill trainers and daemons until it is enough, and judge every run."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.judging import judge
from tests.crash.plan import make_plan
from tests.crash.story import Story, play

BLOWS = 12
"""Of one story."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="processes to kill at least")
    parser.add_argument("--seconds", type=float, default=1200.0, help="when to stop, and fail")
    parser.add_argument("--seed", type=int, help="play this one alone")
    parser.add_argument("--keep", action="store_true", help="keep the folders of what went well")
    options = parser.parse_args()
    began = time.monotonic()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    kills = runs = 0
    bad: list[int] = []
    while kills < options.kills and time.monotonic() - began < options.seconds:
        folder = Path(tempfile.mkdtemp(prefix=f"crash-{seed}-"))
        story = Story()
        faults = tell(seed, folder / "state", story)
        kills += sum(story.killed.values())
        runs += len(story.told)
        print(f"seed {seed}: {summary(story)}", flush=True)
        if faults:
            bad.append(seed)
            lines = [f"went wrong, its folder is {folder}", *story.blows, *faults]
            print("\n  ".join(lines), flush=True)
        elif not options.keep:
            shutil.rmtree(folder)
        if options.seed is not None:
            break
        seed += 1
    ends = [f"went wrong: seeds {bad}"] if bad else []
    if options.seed is None and kills < options.kills:
        ends.append(f"no time for {options.kills} kills")
    seconds = time.monotonic() - began
    print(f"{kills} kills, {runs} runs, {seconds:.0f} s; {'; '.join(ends) or 'all is well'}")
    return 1 if ends else 0


def tell(seed: int, state_dir: Path, story: Story) -> list[str]:
    """Play the plan of a seed, and return what is wrong with what came of it."""
    try:
        play(make_plan(seed, BLOWS), state_dir, story)
    except TimeoutError as error:
        return [str(error)]
    return judge(state_dir, story.told)


def summary(story: Story) -> str:
    """Say in a line what a story was about."""
    killed = [f"{count} {victim}s" for victim, count in story.killed.items()]
    runs = [
        f"{name} of {told.view.steps} steps took {told.view.attempt} trainers, "
        f"{told.view.revision} decisions, {len(told.answers.decided)} answers and "
        f"{len(told.answers.refused)} refusals to {told.answers.tries} questions"
        for name, told in story.told.items()
    ]
    return f"killed {' and '.join(killed)}; {'; '.join(runs)}; {story.seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
