"""Scripts that are attached to a real daemon, and steered from elsewhere while they train."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

import rheostat
from rheostat.runs.records import Phase
from rheostat.steering.records import ScheduleEdit

from .conftest import Run, environment, is_alive, living_daemon, wait_until

torch.set_num_threads(1)
ENDLESS = 10**6


class Spy(torch.optim.SGD):
    """An optimizer that keeps the LRs that its steps were taken with."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.used = []

    def step(self, closure=None):
        self.used.append([group["lr"] for group in self.param_groups])
        return super().step(closure)


class Script:
    """A training script in this process; it keeps the LRs that its steps were taken with."""

    def __init__(self, *, saves=False, is_attached=True, **attaching):
        torch.manual_seed(0)
        self.model = nn.Linear(4, 2)
        groups = [{"params": [self.model.weight]}, {"params": [self.model.bias], "lr": 0.02}]
        self.optimizer = Spy(groups, lr=0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=[0.1, 0.02], total_steps=ENDLESS
        )
        self.inputs, self.targets = torch.randn(16, 4), torch.randint(2, (16,))
        self.used, self.wanted = self.optimizer.used, []
        if saves:
            attaching |= {"save": self.save, "restore": self.restore}
        if is_attached:
            self.run = rheostat.attach(self.optimizer, scheduler=self.scheduler, **attaching)

    def train(self, steps=1):
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(self.inputs), self.targets)
            loss.backward()
            self.wanted.append(self.scheduler.get_last_lr())
            self.optimizer.step()
            self.scheduler.step()
            self.run.step(loss)

    @classmethod
    def by_hand(cls, before, *, then=None, steps=0):
        """Return the losses of a loop that nobody steers, or of its steps with one LR after it."""
        script, losses = cls(is_attached=False), []
        for step in range(before + steps):
            script.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(script.model(script.inputs), script.targets)
            loss.backward()
            own = [group["lr"] for group in script.optimizer.param_groups]
            for group in script.optimizer.param_groups if step >= before else ():
                group["lr"] = then
            script.optimizer.step()
            for group, lr in zip(script.optimizer.param_groups, own, strict=True):
                group["lr"] = lr
            script.scheduler.step()
            losses.append(float(loss.detach()))
        return losses[before:] if then is not None else losses

    @property
    def parts(self):
        return self.model, self.optimizer, self.scheduler

    def save(self, folder):
        torch.save([part.state_dict() for part in self.parts], folder / "mine.pt")

    def restore(self, folder):
        for part, state in zip(self.parts, torch.load(folder / "mine.pt"), strict=True):
            part.load_state_dict(state)

    def train_while(self, question):
        """Train as long as somebody else takes to answer, and return the answer."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(question)
            while not answer.done():
                self.train()
            return answer.result()


@pytest.fixture
def begin_script(daemon):
    """Attach a script to the daemon that the tests share."""
    scripts = []

    def begin(**attaching):
        script = Script(**({"name": "script", "address": daemon.address} | attaching))
        scripts.append(script)
        return script

    yield begin
    for script in scripts:
        script.run.close()


def test_a_change_from_the_command_line_acts_at_the_step_that_is_answered(
    daemon, begin_script, tmp_path
):
    script = begin_script(groups=["weight", "bias"])
    name = script.run.name
    script.train(20)

    answer = script.train_while(lambda: daemon.json("lr", "scale", name, "0.5"))
    script.train(5)
    at = answer["applied_step"]

    assert script.used[:at] == script.wanted[:at]
    assert script.used[at:] == [[0.5 * lr for lr in row] for row in script.wanted[at:]]
    assert [group["new"] for group in answer["groups"]] == script.used[at]
    shown = script.train_while(lambda: daemon.json("runs", "list"))
    assert {"run": name, "phase": "running"}.items() <= shown[-1].items()
    assert (
        daemon.metric(
            "rheostat_learning_rate_component", run=name, group="bias", component="operator"
        )
        == 0.5
    )
    script.run.close()
    rows = Run(daemon, name).export(tmp_path / "rows.csv")
    columns = ("learning_rate.weight", "learning_rate.bias")
    assert [[float(row[column]) for column in columns] for row in rows] == script.used
    [decision] = daemon.json("lr", "history", name)
    assert (decision["applied_step"], decision["verb"]) == (at, "scale")
    assert Run(daemon, name).view.phase is Phase.SUCCEEDED


def test_every_verb_of_the_operator_leads_where_it_says(daemon, begin_script):
    script = begin_script(name="verbs")
    run = Run(daemon, script.run.name)
    script.train(3)

    def ask(verb, value=None, **fields):
        decision = script.train_while(lambda: run.change(verb, value, **fields))
        script.train(2)
        return decision

    held = ask("hold", 0.003)
    assert script.used[held.applied_step] == [0.003, 0.003]
    released = ask("release")
    assert script.used[released.applied_step] == script.wanted[released.applied_step]
    put = ask("set", 0.004, groups=("group_1",))
    assert script.used[put.applied_step][1] == pytest.approx(0.004, rel=1e-12)
    ramp = ask("ramp", 0.0005, steps=50, groups=("group_0",))
    script.train(60)
    arrived = ramp.applied_step + 49
    assert script.used[arrived][0] == pytest.approx(0.0005, rel=1e-9)
    explained = script.train_while(lambda: daemon.spawn("lr", "explain", run.name))
    assert "OneCycleLR of the script" in explained.stdout


def test_policies_come_and_go_and_guardrails_bind(daemon, begin_script):
    script = begin_script(name="bound", policies=["loss_spike"], guardrails={"max_lr": 0.01})
    run = Run(daemon, script.run.name)
    script.train(3)

    script.train_while(lambda: daemon.json("policy", "attach", run.name, "plateau"))
    shown = script.train_while(lambda: daemon.json("policy", "list", run.name))
    decision = script.train_while(lambda: run.change("hold", 0.5))
    script.train(2)

    assert {policy["name"] for policy in shown} == {"loss_spike", "plateau"}
    assert decision.guardrails == ("max_lr",)
    assert script.used[-1] == [0.01, 0.01]


def test_a_script_that_is_paused_stands_still_and_one_that_is_stopped_leaves_its_block(
    daemon, begin_script
):
    script = begin_script(name="stopped")
    client, name = daemon.client, script.run.name

    with ThreadPoolExecutor(1) as pool:
        pausing = pool.submit(client.pause_run, name)
        resuming = pool.submit(lambda: (pausing.result(), client.resume_run(name)))
        while not resuming.done():
            script.train()
        assert pausing.result().phase is Phase.PAUSED
        assert resuming.result()[1].phase is Phase.RUNNING
    with script.run:
        client.stop_run(name)
        script.train(ENDLESS)

    assert script.run.should_stop
    assert len(script.used) < ENDLESS
    assert Run(daemon, name).reach(Phase.STOPPED).result.steps == len(script.used)


def test_a_script_that_raises_has_failed_with_what_it_raised(daemon, begin_script):
    script = begin_script(name="raises")

    with pytest.raises(TypeError), script.run:
        script.run.step(script.train(3) + 1)

    view = Run(daemon, script.run.name).reach(Phase.FAILED)
    assert view.failure.message == (
        "TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'"
    )
    assert "test_attached.py" in view.failure.traceback


def test_what_only_a_loop_of_our_own_can_do_is_refused_with_the_reason(daemon, begin_script):
    script = begin_script(name="refusing")
    client, name = daemon.client, script.run.name
    script.train_while(lambda: Run(daemon, name).reach(Phase.RUNNING))
    asked = {
        "after each LR tried .* attach it with save=": lambda: client.probe_learning_rates(
            name, [0.1], steps=2
        ),
        "there is no spec to replay it from": lambda: client.replay_run(name),
        "rheostat checkpoint save`, where it is attached with save=": lambda: client.fork_run(
            name, Run(daemon, name).view.spec
        ),
        "save=": lambda: client.save_checkpoint(name),
        "no good checkpoint": lambda: client.roll_back_run(name),
        "evaluate=": lambda: client.evaluate_run(name),
        "how long this run is": lambda: Run(daemon, name).change(
            "horizon", edit=ScheduleEdit(steps=10)
        ),
        "a script that lives": lambda: Script(name=name, address=daemon.address, resume=True),
    }

    for why, ask in asked.items():
        with pytest.raises(Exception, match=why):
            script.train_while(ask)


def test_a_script_that_says_how_it_is_saved_goes_back_to_a_checkpoint(
    daemon, begin_script, tmp_path
):
    def save(folder):
        torch.save([script.model.state_dict(), script.scheduler.state_dict()], folder / "mine.pt")

    def restore(folder):
        weights, schedule = torch.load(folder / "mine.pt")
        script.model.load_state_dict(weights)
        script.scheduler.load_state_dict(schedule)
        for group, lr in zip(script.optimizer.param_groups, schedule["_last_lr"], strict=True):
            group["lr"] = lr

    script = begin_script(name="saves", save=save, restore=restore)
    run = Run(daemon, script.run.name)
    client, name = daemon.client, run.name
    script.train(5)
    script.train_while(lambda: run.reach(Phase.RUNNING))
    script.train_while(lambda: run.change("scale", 0.5))
    saved = script.train_while(lambda: client.save_checkpoint(name))
    weights = torch.load(f"{saved.path}/mine.pt")[0]
    script.train_while(lambda: run.change("scale", 0.5))
    script.train(20)

    taken = len(script.used)
    back = script.train_while(lambda: client.roll_back_run(name, reason="it diverges"))
    again = script.used.index([0.5 * lr for lr in script.wanted[saved.step]], taken)
    script.run.close()

    assert back.step == saved.step
    assert back.decision.applied_step == saved.step
    assert [group.new for group in back.decision.groups] == script.used[again]
    assert script.used[again - 1][0] < script.used[again][0]
    assert weights.keys() == script.model.state_dict().keys()
    rows = [[float(row["learning_rate.group_0"])] for row in run.export(tmp_path / "rows.csv")]
    assert rows[saved.step :] == [[row[0]] for row in script.used[again:]]
    listed = daemon.json("checkpoint", "list", name)
    assert [one["step"] for one in listed] == [saved.step]


def test_a_script_tries_lrs_out_by_its_own_loop_and_goes_on_as_if_it_had_not(
    daemon, begin_script, tmp_path
):
    script, picture = begin_script(name="tries", saves=True), tmp_path / "probe.png"
    lrs = (0.001, 0.05, 0.5)
    asked = [option for lr in lrs for option in ("--lr", lr)]
    asked += ["--steps", 4, "--plot", picture]
    script.train(3)

    told = script.train_while(lambda: daemon.spawn("lr", "probe", "tries", *asked))
    assert told.returncode == 0, told.stderr
    assert "handed out 12 batches for it" in told.stdout
    assert picture.stat().st_size > 10_000
    found = script.train_while(lambda: daemon.client.probe_learning_rates("tries", lrs, steps=4))
    script.run.close()

    at, steps = found.step, Run(daemon, "tries").view.snapshot.step
    tried = [[lr, lr] for lr in lrs for _ in range(4)]
    first = script.used.index(tried[0])
    assert script.used[first : first + 12] == tried
    # Both probes apart, the run has taken every step with what the script wanted.
    assert script.used[at + 12 : at + 24] == tried
    own = script.wanted[:first] + script.wanted[first + 12 : at + 12] + script.wanted[at + 24 :]
    assert script.used[:first] + script.used[first + 12 : at + 12] + script.used[at + 24 :] == own
    assert len(own) == steps
    rows = Run(daemon, "tries").export(tmp_path / "rows.csv")
    assert [float(row["learning_rate.group_0"]) for row in rows] == [row[0] for row in own]
    straight = Script.by_hand(steps)
    assert [float(row["train_loss"]) for row in rows] == straight
    for trial, lr in zip(found.trials, lrs, strict=True):
        assert list(trial.losses) == Script.by_hand(at, then=lr, steps=4)


def test_a_fork_waits_for_its_script_and_goes_on_from_the_checkpoint(
    daemon, begin_script, tmp_path, monkeypatch
):
    script = begin_script(name="parent", saves=True)
    parent, client = Run(daemon, "parent"), daemon.client
    script.train(5)
    script.train_while(lambda: parent.change("scale", 0.5))
    saved = script.train_while(lambda: client.save_checkpoint("parent"))
    script.train_while(lambda: parent.change("scale", 0.1))
    script.train(20)
    script.run.close()
    weights, _, schedule = torch.load(f"{saved.path}/mine.pt")

    told = daemon.rheostat("checkpoint", "fork", "parent", "--name", "other", check=True).stdout
    waiting = Run(daemon, "other").view
    assert (waiting.phase, waiting.origin.step) == (Phase.QUEUED, saved.step)
    assert "RHEOSTAT_RUN=other python script.py" in told
    assert "RHEOSTAT_RUN=other" in waiting.events[-1].message
    assert f"└ other @{saved.step}" in daemon.rheostat("runs", "list", "--tree").stdout
    with pytest.raises(Exception, match="RHEOSTAT_RUN=other"):
        client.resume_run("other")
    with pytest.raises(Exception, match="attach it with save="):
        begin_script(name="other")

    with pytest.raises(Exception, match="with groups group_0, group_1, and this one has a, b"):
        begin_script(name="other", saves=True, groups=["a", "b"])
    assert "with groups" in Run(daemon, "other").reach(Phase.QUEUED).events[-1].message

    monkeypatch.setenv("RHEOSTAT_RUN", "other")
    fork = begin_script(name="parent", saves=True)
    monkeypatch.delenv("RHEOSTAT_RUN")
    assert (fork.run.name, fork.run.finished_steps) == ("other", saved.step)
    for name, tensor in fork.model.state_dict().items():
        assert torch.equal(tensor, weights[name])
    assert fork.scheduler.get_last_lr() == schedule["_last_lr"]
    fork.train(3)
    assert fork.used == [
        [0.5 * lr for lr in wanted] for wanted in script.wanted[saved.step : saved.step + 3]
    ]
    decision = fork.train_while(lambda: Run(daemon, "other").change("scale", 0.5))
    fork.train(2)
    assert decision.revision == 2
    assert fork.used[-1] == [0.25 * lr for lr in fork.wanted[-1]]
    fork.run.close()
    rows = Run(daemon, "other").export(tmp_path / "rows.csv")
    assert [float(row["learning_rate.group_0"]) for row in rows] == [
        row[0] for row in (*script.used[: saved.step], *fork.used)
    ]


def test_a_script_that_comes_back_goes_on_where_it_was_with_what_operators_want(
    daemon, begin_script
):
    before = begin_script(name="back")
    run = Run(daemon, before.run.name)
    before.train(10)
    before.train_while(lambda: run.change("scale", 0.5))
    before.train(5)
    steps = before.run.finished_steps
    before.run.close(RuntimeError("the machine is gone"))
    run.reach(Phase.FAILED)

    after = begin_script(name="back", resume=True)
    after.train(3)
    decision = after.train_while(lambda: run.change("scale", 0.5))
    after.train(2)

    assert after.run.name == "back"
    assert decision.revision == 2
    assert decision.applied_step > steps
    assert after.used[0] == [0.5 * lr for lr in after.wanted[0]]
    assert after.used[-1] == [0.25 * lr for lr in after.wanted[-1]]


def test_a_script_trains_on_when_its_daemon_is_killed_and_the_next_one_learns_everything(
    start_daemon, tmp_path
):
    first = start_daemon()
    script = Script(name="survivor", address=first.address, saves=True)
    script.train(50)
    script.train_while(lambda: Run(first, "survivor").change("scale", 0.5))
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(
            lambda: first.client.probe_learning_rates("survivor", [0.3], steps=10_000)
        )
        while script.used[-1] != [0.3, 0.3]:
            script.train()
        began = len(script.used) - 1
        first.kill()
        assert probe.exception() is not None
    while script.used[-1] == [0.3, 0.3]:
        script.train()
    # What was tried is undone, and the script has gone on.
    for kept in (script.used, script.wanted):
        del kept[began:-1]
    script.train(200)
    script.run.validated(0.25)

    with living_daemon(tmp_path / "state") as second:
        run = Run(second, "survivor")
        decision = script.train_while(lambda: run.change("scale", 0.5))
        script.train(5)
        script.run.close()

        assert run.end().phase is Phase.SUCCEEDED
        rows = run.export(tmp_path / "rows.csv")
        assert [float(row["learning_rate.group_0"]) for row in rows] == [
            row[0] for row in script.used
        ]
        assert script.used[decision.applied_step][0] == (
            0.25 * script.wanted[decision.applied_step][0]
        )


ALONE = textwrap.dedent(
    """
    import sys, time, torch, rheostat
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    run = rheostat.attach(optimizer, name="alone")
    print(run.address, flush=True)
    for step in range(int(sys.argv[1])):
        weight.grad = torch.ones(2)
        optimizer.step()
        run.step(0.5)
        time.sleep(0.005)
    """
)


@pytest.fixture
def begin_alone(tmp_path):
    """Start a script of its own process, for which there is no daemon."""
    begun = []

    def begin(steps):
        process = subprocess.Popen(
            [sys.executable, "-c", ALONE, str(steps)],
            env=environment(tmp_path / "state"),
            stdout=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_without_a_daemon_a_script_has_one_of_its_own_for_its_life(begin_alone, rheostat, tmp_path):
    script = begin_alone(ENDLESS)
    script.stdout.readline()
    answer = wait_until(
        lambda: found if (found := rheostat("lr", "scale", "alone", "0.5")).returncode == 0 else "",
        "the script is steered",
    )
    assert "Acts from step" in answer.stdout

    rheostat("runs", "stop", "alone")
    wait_until(lambda: "true" in _stopping(rheostat), "the script has heard of it")
    script.send_signal(signal.SIGINT)
    script.wait(30)

    assert '"phase": "stopped"' in rheostat("runs", "show", "alone", "--json").stdout


def _stopping(rheostat):
    shown = rheostat("runs", "show", "alone", "--json").stdout
    return "true" if '"phase": "stopping"' in shown else ""


def test_a_script_that_is_killed_is_lost_and_takes_its_own_daemon_along(
    begin_alone, rheostat, tmp_path
):
    script = begin_alone(ENDLESS)
    script.stdout.readline()
    wait_until(
        lambda: '"running"' in rheostat("runs", "list", "--json").stdout, "the script trains"
    )
    lock = tmp_path / "state" / "daemon.json"
    daemon = json.loads(lock.read_text())["pid"]
    os.kill(script.pid, signal.SIGKILL)
    script.wait()

    wait_until(lambda: not is_alive(daemon), "the daemon has ended too")
    # Whichever daemon finds it out: the script's own, or the next one that is asked.
    wait_until(
        lambda: "vanished without a word" in rheostat("runs", "show", "alone", "--json").stdout,
        "the script is known to be lost",
    )


RANKS = textwrap.dedent(
    """
    import json, sys, time, torch, rheostat
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = DistributedDataParallel(torch.nn.Linear(4, 2))
    used = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            used.append(self.param_groups[0]["lr"])
            return super().step(closure)

    optimizer = Spy(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9999)
    wanted, restored = [], []

    def mine(folder):
        return folder / f"rank-{dist.get_rank()}.pt"

    def save(folder):
        torch.save([model.state_dict(), scheduler.state_dict(), len(used)], mine(folder))

    def restore(folder):
        weights, schedule, taken = torch.load(mine(folder))
        model.load_state_dict(weights)
        scheduler.load_state_dict(schedule)
        optimizer.param_groups[0]["lr"] = schedule["_last_lr"][0]
        restored.append([taken, len(used)])

    with rheostat.attach(
        optimizer, name="ranks", scheduler=scheduler, save=save, restore=restore
    ) as run:
        while True:
            loss = model(torch.randn(8, 4)).square().mean()
            loss.backward()
            wanted.append(scheduler.get_last_lr()[0])
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            run.step(loss)
            time.sleep(0.005)
    with open(f"{sys.argv[1]}/{dist.get_rank()}.json", "w") as file:
        json.dump({"name": run.name, "used": used, "wanted": wanted, "restored": restored}, file)
    dist.destroy_process_group()
    """
)


@contextmanager
def ranks(daemon, folder, **variables):
    """Have two ranks of the script train, until the block ends."""
    script = folder / "ranks.py"
    script.write_text(RANKS)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    variables |= {"RHEOSTAT_ADDRESS": daemon.address}
    process = subprocess.Popen(
        [*torchrun, str(script), str(folder)], env=environment(folder / "unused") | variables
    )
    try:
        yield process
    finally:
        process.kill()


def told_by_ranks(folder):
    """Return what each rank has written down at its end."""
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_all_ranks_of_torchrun_step_with_the_lr_of_rank_0_and_go_back_together(daemon, tmp_path):
    run = Run(daemon, "ranks")
    with ranks(daemon, tmp_path) as process:
        names = lambda: [view.name for view in daemon.client.list_runs()]  # noqa: E731
        wait_until(lambda: "ranks" in names(), "the ranks are attached")
        run.advance(20)
        decision = run.change("scale", 0.5)
        saved = daemon.client.save_checkpoint("ranks")
        run.change("scale", 0.5)
        back = daemon.client.roll_back_run("ranks")
        run.advance(20)
        probed = daemon.client.probe_learning_rates("ranks", [0.01, 0.2], steps=5)
        run.advance(20)
        daemon.client.stop_run("ranks")
        assert process.wait(60) == 0
    first, second = told_by_ranks(tmp_path)
    at = decision.applied_step
    assert first == second
    assert first["used"][:at] == first["wanted"][:at]
    (taken, left), (tried, _), (tried_again, after) = first["restored"]
    assert (taken, back.step) == (saved.step, saved.step)
    assert sorted(file.name for file in Path(saved.path).glob("*.pt")) == ["rank-0.pt", "rank-1.pt"]
    assert first["used"][at:taken] == [0.5 * lr for lr in first["wanted"][at:taken]]
    assert first["used"][left - 1] == 0.25 * first["wanted"][left - 1]
    assert first["wanted"][left] == first["wanted"][taken]
    assert first["used"][left:tried] == [0.5 * lr for lr in first["wanted"][left:tried]]
    assert (tried_again, after) == (tried, tried + 10)
    assert first["used"][tried:after] == [0.01] * 5 + [0.2] * 5
    assert first["wanted"][after] == first["wanted"][tried]
    assert first["used"][after:] == [0.5 * lr for lr in first["wanted"][after:]]
    assert [len(trial.losses) for trial in probed.trials] == [5, 5]
    assert run.view.phase is Phase.STOPPED
    assert run.view.steps is None  # after a rollback, too

    fork = Run(daemon, daemon.client.fork_run("ranks", run.view.spec).name)
    with ranks(daemon, tmp_path, RHEOSTAT_RUN=fork.name) as process:
        fork.reach(Phase.RUNNING)
        fork.advance(5)
        daemon.client.stop_run(fork.name)
        assert process.wait(60) == 0
    forked, forked_too = told_by_ranks(tmp_path)
    assert forked == forked_too
    assert (forked["name"], forked["restored"]) == (fork.name, [[taken, 0]])
    assert forked["used"] == [0.5 * lr for lr in forked["wanted"]]
    assert forked["wanted"][0] == first["wanted"][taken]
    assert fork.view.result.steps == saved.step + len(forked["used"])
