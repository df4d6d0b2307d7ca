"""A few kills at every change; `make test-crash` deals a hundred."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.judging import judge
from tests.crash.plan import Blow, Moment, Victim, make_plan
from tests.crash.story import Story, play

SEED = 7
BLOWS = (
    Blow(Moment.ANSWERED, 0.0, Victim.TRAINER, 0, 0.0),
    Blow(Moment.READY, 0.1, Victim.DAEMON, 0, 0.3),
    Blow(Moment.WRITTEN, 0.0, Victim.BOTH, 0, 0.0),
)


@pytest.mark.timeout(300)  # ten processes begin, on a machine that may be busy
def test_a_run_whose_trainer_and_daemon_are_killed_is_the_run_that_nobody_interrupted(
    tmp_path: Path,
) -> None:
    plan = make_plan(SEED, 0)
    plan = replace(plan, specs=plan.specs[:1], wishes=plan.wishes[:1], blows=BLOWS)

    story = Story()

    play(plan, tmp_path / "state", story)

    assert story.killed == {"trainer": 2, "daemon": 2}
    [told] = story.told.values()
    assert told.answers.decided
    assert told.sights
    assert judge(tmp_path / "state", story.told) == [], story.blows
