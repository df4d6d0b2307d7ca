"""Models for text: the small GPT, and those of Hugging Face from a folder or a configuration."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rheostat.errors import InvalidSpec
from rheostat.spec.models import Spec
from rheostat.trainer.building import build
from rheostat.trainer.learning import Learner
from rheostat.trainer.losses import find_loss, for_tokens
from rheostat.trainer.tallying import validate

WORDS = "the quick brown fox jumps over the lazy dog. " * 40
GPT2 = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 32}
BERT = {
    "model_type": "bert",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
CPU = torch.device("cpu")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Text to go on, and texts of two classes."""
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text(WORDS)
    rows = [f"{'ab'[n % 2]},{['yes', 'no'][n % 2]} {n}" for n in range(40)]
    (tmp_path / "labelled.csv").write_text("\n".join(["label,text", *rows]))
    return tmp_path


def a_spec(files: Path, model: dict[str, Any], task: str = "causal_lm", **more: Any) -> Spec:
    root = files / ("text" if task == "causal_lm" else "labelled.csv")
    data = {"name": "text", "root": str(root), "args": {"task": task, "context": 16}}
    document = {
        "model": model,
        "data": {**data, "batch_size": 8},
        "optimizer": {"name": "AdamW", "lr": 3e-3},
        "train": {"steps": 30, "device": "cpu"},
    }
    return Spec.model_validate(document | more)


def losses(spec: Spec) -> list[float]:
    parts = build(spec, "run")
    learner = Learner(parts.model, parts.loss, parts.optimizer, spec.train, CPU)
    parts.model.train()
    return [
        learner.learn(step, *parts.batches.batch(step), measure_norm=False) for step in range(30)
    ]


MODELS = {
    "gpt": ({"name": "gpt", "args": {"layers": 2, "heads": 2, "width": 32}}, "causal_lm"),
    "gpt_classifier": (
        {"name": "gpt", "args": {"layers": 2, "heads": 2, "width": 32, "dropout": 0.1}},
        "classification",
    ),
    "gpt2": ({"name": "hugging_face", "args": {"config": GPT2}}, "causal_lm"),
    "bert": (
        {"name": "hugging_face", "args": {"config": BERT, "task": "sequence_classification"}},
        "classification",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns(files: Path, name: str) -> None:
    model, task = MODELS[name]

    found = losses(a_spec(files, model, task))

    assert sum(found[-5:]) < 0.95 * sum(found[:5])


@pytest.mark.parametrize("name", MODELS)
def test_the_lr_may_fall_from_layer_to_layer_and_every_parameter_has_its_group(
    files: Path, name: str
) -> None:
    model, task = MODELS[name]
    groups = [{"preset": "layer_decay", "decay": 0.5}, {"preset": "no_decay_1d"}]

    parts = build(a_spec(files, model, task, groups=groups), "run")

    scales = {
        name.partition(".")[0]: scale
        for name, scale in ((one.name, one.terms.lr_scale) for one in parts.groups)
    }
    ordered = [scales[one] for one in sorted(scales)]
    assert ordered == sorted(ordered)
    assert len(ordered) >= 3
    stem = next(one for one in parts.groups if one.name == "layer_0")
    assert any("wte" in name or "embeddings" in name for name, _ in stem.parameters)


def test_a_place_of_gpt_sees_nothing_that_comes_after_it(files: Path) -> None:
    parts = build(a_spec(files, {"name": "gpt"}), "run")
    inputs, _ = parts.batches.batch(0)
    changed = inputs.clone()
    changed[:, 10:] = 0
    parts.model.eval()

    with torch.no_grad():
        scores, others = parts.model(inputs), parts.model(changed)

    assert scores.shape == (8, 257, 16)
    torch.testing.assert_close(scores[:, :, :10], others[:, :, :10])
    assert not torch.allclose(scores[:, :, 10:], others[:, :, 10:])


def test_gpt_scores_tokens_by_their_own_table_unless_told_otherwise(files: Path) -> None:
    tied = build(a_spec(files, {"name": "gpt"}), "run").model
    free = build(a_spec(files, {"name": "gpt", "args": {"tie": False}}), "run").model

    assert tied.head.weight is tied.wte.weight
    assert free.head.weight is not free.wte.weight


def test_a_text_is_classified_by_its_last_token_whatever_fills_it_up(files: Path) -> None:
    model = build(a_spec(files, {"name": "gpt"}, "classification"), "run").model.eval()
    short = torch.tensor([[97, 98, 256, 256]])

    assert torch.allclose(model(short), model(short[:, :2]), atol=1e-6)


def test_the_mean_loss_of_tokens_is_torchs_own() -> None:
    outputs = torch.randn(4, 6, 5).transpose(1, 2)
    targets = torch.randint(0, 5, (4, 6))
    targets[0, 2:] = -100
    plain = find_loss("cross_entropy")

    assert for_tokens(plain)(outputs, targets).item() == pytest.approx(
        plain(outputs, targets).item()
    )
    assert for_tokens(find_loss("mse_loss")) is find_loss("mse_loss")


def test_a_validation_counts_every_token_that_has_a_target_once() -> None:
    batches, hits, total = [], [], []
    for size in (3, 2):
        outputs, targets = torch.randn(size, 5, 4), torch.randint(0, 5, (size, 4))
        targets[0, size:] = -100
        known = targets != -100
        batches.append((outputs, targets))
        hits.append((outputs.argmax(1) == targets)[known])
        total.append(nn.functional.cross_entropy(outputs, targets, reduction="none")[known])

    loss, accuracy = validate(nn.Identity(), nn.functional.cross_entropy, batches)

    assert loss == pytest.approx(torch.cat(total).mean().item(), rel=1e-6)
    assert accuracy == pytest.approx(torch.cat(hits).double().mean().item())


def test_micro_batches_weigh_as_much_as_they_have_tokens(files: Path) -> None:
    steps = []
    for accumulate in (1, 3):
        spec = a_spec(
            files, {"name": "gpt"}, train={"steps": 1, "device": "cpu", "accumulate": accumulate}
        )
        parts = build(spec, "run")
        inputs, targets = parts.batches.batch(0)
        targets = targets.clone()
        targets[:2, 3:] = -100
        learner = Learner(parts.model, parts.loss, parts.optimizer, spec.train, CPU)
        loss = learner.learn(0, inputs, targets, measure_norm=True)
        steps.append((loss, [one.grad for one in parts.model.parameters()]))

    assert steps[0][0] == pytest.approx(steps[1][0], rel=1e-6)
    for a, b in zip(steps[0][1], steps[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls somebody fails the test."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("it went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model and its tokenizer, as transformers saves them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=["<|end|>"]
    )
    made.train_from_iterator([WORDS], trainer)
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>").save_pretrained(
        tmp_path / "lm"
    )
    torch.manual_seed(3)
    config = AutoConfig.for_model(**GPT2, vocab_size=made.get_vocab_size())
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


@pytest.mark.usefixtures("offline")
def test_a_saved_model_goes_on_with_its_weights_and_its_own_tokenizer(
    files: Path, folder: Path
) -> None:
    from safetensors.torch import load_file

    spec = a_spec(files, {"name": "hugging_face", "args": {"path": str(folder)}})
    data = spec.data.model_copy(update={"args": {**spec.data.args, "tokenizer": str(folder)}})
    spec = spec.model_copy(update={"data": data})

    parts = build(spec, "run")

    kept = load_file(folder / "model.safetensors")
    own = dict(parts.model.named_parameters())
    assert set(own) <= {*kept, "lm_head.weight"}
    assert all(torch.equal(own[name], kept[name]) for name in own)
    assert parts.data.description.input_shape == (16,)
    assert parts.data.description.text.vocabulary <= 300
    assert 0 < losses(spec)[-1] < losses(spec)[0]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("args", "field", "expected"),
    [
        ({"path": "gpt2"}, "model.args.path", "no config.json"),
        ({}, "model.args.path", "either a path or a config"),
        ({"config": {"model_type": "gtp"}}, "model.args.config", "model_type"),
        ({"config": {"n_layer": 1}}, "model.args.config", "model_type"),
        ({"config": {**GPT2, "n_head": 3}}, "model.args.config", "what a gpt2 takes"),
        ({"config": GPT2, "task": "translation"}, "model.args.task", "causal_lm or"),
        ({"config": BERT, "task": "sequence_classification"}, "model.args.task", "causal_lm"),
        ({"config": {**GPT2, "vocab_size": 9}}, "model.args", "at least 257 tokens"),
    ],
)
def test_what_there_is_not_is_refused_and_never_looked_for_elsewhere(
    files: Path, args: dict[str, Any], field: str, expected: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        build(a_spec(files, {"name": "hugging_face", "args": args}), "run")

    [violation] = refused.value.violations
    assert violation.field == field
    assert expected in violation.expected


def test_weights_that_need_pickle_and_code_that_lies_beside_them_are_left_alone(
    files: Path, folder: Path
) -> None:
    spec = a_spec(files, {"name": "hugging_face", "args": {"path": str(folder)}})
    weights = folder / "model.safetensors"
    torch.save({}, folder / "pytorch_model.bin")
    weights.rename(folder / "weights.old")

    with pytest.raises(InvalidSpec, match="weights in safetensors"):
        build(spec, "run")

    (folder / "weights.old").rename(weights)
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    config |= {
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
        "model_type": "evil",
    }
    (folder / "config.json").write_text(json.dumps(config))

    with pytest.raises(InvalidSpec) as refused:
        build(spec, "run")

    assert refused.value.violations[0].field == "model.args.path"


def test_text_is_refused_by_name_where_it_is_none() -> None:
    for name in ("gpt", "hugging_face"):
        args = {"config": GPT2} if name == "hugging_face" else {}
        spec = Spec.model_validate({"model": {"name": name, "args": args}, "train": {"steps": 1}})

        with pytest.raises(InvalidSpec, match="takes text"):
            build(spec, "run")
