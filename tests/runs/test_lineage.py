"""What of a history still counts after rollbacks, whatever was done before and after them."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from rheostat.runs.lineage import rollbacks, surviving
from rheostat.steering.records import Decision, RollbackEdit


@dataclass
class Model:
    """A run that remembers, as a run does, what it is made of."""

    step: int = 0
    revision: int = 0
    acting: list[int] = field(default_factory=list)
    """Revisions of which its state is made."""
    history: list[Decision] = field(default_factory=list)
    saved: list[tuple[int, int, list[int]]] = field(default_factory=list)
    """Step, revision and what is in it, of each checkpoint that is not undone."""

    def decide(self, rollback: RollbackEdit | None = None) -> None:
        self.revision += 1
        self.acting.append(self.revision)
        self.history.append(
            Decision(
                revision=self.revision,
                applied_step=self.step,
                source="rollback" if rollback else "operator",
                groups=(),
                rollback=rollback,
            )
        )

    def save(self) -> None:
        self.saved = [one for one in self.saved if one[0] != self.step]
        self.saved.append((self.step, self.revision, list(self.acting)))

    def go_back(self, which: int) -> None:
        if not self.saved:
            return
        step, revision, acting = self.saved[which % len(self.saved)]
        edit = RollbackEdit(from_step=self.step, to_step=step, to_revision=revision, steps=99)
        self.saved = [one for one in self.saved if one[0] <= step]
        self.step, self.acting = step, list(acting)
        self.decide(edit)


ACTIONS = st.lists(
    st.one_of(st.sampled_from(["step", "decide", "save"]), st.integers(0, 9)), max_size=60
)


@given(ACTIONS)
def test_what_survives_is_what_the_run_is_made_of_and_every_checkpoint_finds_its_script(
    actions: list[str | int],
) -> None:
    run = Model()
    for action in actions:
        match action:
            case "step":
                run.step += 1
            case "decide":
                run.decide()
            case "save":
                run.save()
            case int():
                run.go_back(action)

    kept = surviving(run.history)

    assert [one.revision for one in kept] == run.acting
    for _, revision, acting in run.saved:
        script = [one.revision for one in kept if one.revision > revision]
        assert acting + script == run.acting
        after = [one for one in run.history if one.revision > revision]
        assert [one.revision for one in surviving(after)] == script
    steps = [one.applied_step for one in kept]
    assert steps == sorted(steps)
    assert all(one.rollback for one in rollbacks(run.history))
