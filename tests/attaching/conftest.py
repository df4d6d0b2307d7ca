"""What the tests of attached scripts share: a script in this process, and a daemon that is not."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from rheostat.attaching import boundary
from rheostat.attaching.boundary import Boundary
from rheostat.attaching.building import build, spec_of
from rheostat.attaching.carriers import Carriers
from rheostat.attaching.groups import describe_groups
from rheostat.attaching.run import AttachedRun, Desk
from rheostat.attaching.saving import ScriptSaver
from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    ProbeCommand,
    Refused,
    Telemetry,
    Unacknowledged,
)
from rheostat.steering.records import Change, Verb
from rheostat.trainer.progress import Progress

torch.set_num_threads(1)


class FakeLink:
    """A daemon that asks what a test wants it to, and keeps what it is told."""

    is_congested = False

    def __init__(self):
        self.told = []
        self.asked = []
        self.last = None
        self._numbers = itertools.count()

    def send(self, *messages):
        self.told += messages

    def receive(self, timeout=0.0):
        asked, self.asked = self.asked, []
        return asked

    def unacknowledged(self):
        return Unacknowledged()

    def close(self, last):
        self.last = last
        return []

    def ask(self, verb, value=None, **fields):
        """Ask for a change, and return the number of the command."""
        change = Change(verb=Verb(verb), value=value, principal="tester", **fields)
        number = next(self._numbers)
        self.asked.append(ChangeCommand(command_id=number, change=change))
        return number

    def of_kind(self, kind):
        return [message for message in self.told if isinstance(message, kind)]

    def answer_to(self, number):
        """Return what became of a change: its decision, or why it was refused."""
        answers = [*self.of_kind(Applied), *self.of_kind(Refused)]
        [answer] = [one for one in answers if one.command_id == number]
        return answer.decision if isinstance(answer, Applied) else answer

    def probe(self, *learning_rates, steps, groups=()):
        """Ask for a probe."""
        self.asked.append(
            ProbeCommand(
                command_id=next(self._numbers),
                learning_rates=learning_rates,
                steps=steps,
                groups=groups,
            )
        )

    @property
    def rows(self):
        return [one.rows for one in self.of_kind(Telemetry) if one.rows is not None]


class Spy(torch.optim.SGD):
    """An optimizer that remembers the LRs and momenta that its steps were taken with."""

    def __init__(self, params, **args):
        super().__init__(params, **args)
        self.used = []
        self.momenta = []

    @torch.no_grad()
    def step(self, closure=None):
        self.used.append([float(group["lr"]) for group in self.param_groups])
        self.momenta.append([group["momentum"] for group in self.param_groups])
        return super().step(closure)


@pytest.fixture(scope="session", autouse=True)
def all_ears():
    """Have scripts listen at each step, however long one takes on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundary, "LISTEN_SECONDS", 0.0)
        yield


@pytest.fixture(scope="module")
def spy():
    """Make an optimizer over some groups of one parameter each."""

    def make(*lrs, momentum=0.9, **args):
        groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": lr} for lr in lrs or (0.1,)]
        for group in groups:
            group["params"][0].grad = torch.full((2,), 0.01)
        return Spy(groups, lr=0.1, momentum=momentum, **args)

    return make


@pytest.fixture(scope="module")
def attached():
    """Attach a script to a daemon that is not there: returns the run, and the fake link."""
    runs = []

    def attach(
        optimizer,
        *,
        link=None,
        groups=None,
        evaluate=None,
        scheduler=None,
        folder=None,
        save=None,
        restore=None,
        **said,
    ):
        link = link or FakeLink()
        told = {"name": "script", "steps": None, "seed": 0, "policies": (), "guardrails": None}
        spec = spec_of(optimizer, scheduler, **(told | said))
        descriptions = describe_groups(optimizer, groups)
        lrs = Carriers(optimizer, len(descriptions)).read()
        steered = build(spec, "script", descriptions, optimizer, lrs)
        progress = Progress()
        saver = save and ScriptSaver(folder, "script", steered.steering, progress)
        boundary = Boundary(steered, link, progress, saver=saver, evaluate=evaluate)
        enrolment = SimpleNamespace(link=link, leave=lambda: None, folder=None, address="nowhere")
        desk = Desk(boundary, enrolment)
        hands = {"save": save, "restore": restore}
        run = AttachedRun(
            "script", optimizer, descriptions, progress, desk=desk, company=None, **hands
        )
        runs.append(run)
        return SimpleNamespace(run=run, link=link, steering=steered.steering)

    yield attach
    for run in runs:
        run.close()
