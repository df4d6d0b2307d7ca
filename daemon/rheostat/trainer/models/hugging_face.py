"""Language models of Hugging Face's transformers, from a local folder or a configuration.

Nothing is ever downloaded, weights are read from safetensors only, and code that lies beside a
model is never run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.wording import written
from rheostat.trainer.data.factories import invalid_arg
from rheostat.trainer.data.records import DataDescription, TextDescription

TASKS: Mapping[str, str] = {
    "causal_lm": "AutoModelForCausalLM",
    "sequence_classification": "AutoModelForSequenceClassification",
}
"""By task, the class of transformers that makes a model for it."""


def hugging_face(
    *,
    example: DataDescription,
    task: str = "causal_lm",
    path: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return a model for text, its modules and weights named as transformers names them.

    Args:
        example: Gives vocabulary, padding and classes.
        task: `causal_lm`, or `sequence_classification`.
        path: Folder with `config.json` and `model.safetensors`, to go on from these weights.
        config: Or `model_type` and whatever else its configuration takes, for fresh weights. What
            it leaves out of vocabulary, padding and number of labels is that of the data.

    Raises:
        InvalidSpec: the data are no text or of another task, there is no such model, or
            transformers is missing.
    """
    if task not in TASKS:
        raise invalid_arg("model", "task", task, " or ".join(TASKS))
    if (path is None) == (config is None):
        raise invalid_arg("model", "path", path, "either a path or a config")
    text = _text_for(task, example)
    try:
        import transformers
    except ImportError:
        mend = "transformers installed: pip install 'rheostat[hf]'"
        raise InvalidSpec([Violation("model.name", "hugging_face", mend)]) from None
    made = getattr(transformers, TASKS[task])
    labels = {} if task == "causal_lm" else {"num_labels": example.outputs}
    if path is not None:
        model = _from_folder(transformers, made, path, labels)
    else:
        assert config is not None
        model = _fresh(transformers, made, config, text, labels)
    if model.config.get_text_config().vocab_size < text.vocabulary:
        expected = (
            f"a model of at least {text.vocabulary} tokens, the data's vocabulary; this one has "
            f"{model.config.get_text_config().vocab_size}"
        )
        raise InvalidSpec([Violation("model.args", written(path or dict(config or {})), expected)])
    if model.config.pad_token_id is None:
        model.config.pad_token_id = text.padding
    return _adapted(model, task, text.padding)


def _text_for(task: str, example: DataDescription) -> TextDescription:
    if example.text is None:
        expected = f"a model for inputs of shape {example.input_shape}; this one takes text"
        raise InvalidSpec([Violation("model.name", "hugging_face", expected)])
    if example.is_per_token != (task == "causal_lm"):
        fitting = "causal_lm" if example.is_per_token else "sequence_classification"
        raise invalid_arg("model", "task", task, f"{fitting}, which is what the data are for")
    return example.text


def _from_folder(transformers: Any, made: Any, path: str, labels: Mapping[str, Any]) -> Any:
    folder = Path(path).expanduser()
    if not (folder / "config.json").is_file():
        raise invalid_arg(
            "model", "path", path, f"a folder of a model; {folder} has no config.json"
        )
    if not any(folder.glob("*.safetensors")):
        expected = f"a folder with weights in safetensors; {folder} has none"
        raise invalid_arg("model", "path", path, expected)
    own = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **own, **labels)
        return made.from_pretrained(
            folder, config=config, use_safetensors=True, dtype="float32", **own
        )
    except Exception as error:  # it raises whatever the files make it stumble over
        raise invalid_arg(
            "model", "path", path, f"a folder that holds a model ({error})"
        ) from error


def _fresh(
    transformers: Any,
    made: Any,
    config: Mapping[str, Any],
    text: TextDescription,
    labels: Mapping[str, Any],
) -> Any:
    given = dict(config)
    kind = given.pop("model_type", None)
    if kind not in transformers.CONFIG_MAPPING:
        expected = "with a model_type of transformers, such as gpt2, llama or bert"
        raise invalid_arg("model", "config", dict(config), expected)
    told = {"vocab_size": text.vocabulary, "pad_token_id": text.padding, **labels}
    # GPT-2's own would lie beyond a vocabulary of bytes.
    ends = dict.fromkeys(("bos_token_id", "eos_token_id"), text.padding)
    try:
        made_config = transformers.AutoConfig.for_model(kind, **{**ends, **told, **given})
        return made.from_config(made_config, trust_remote_code=False)
    except Exception as error:
        expected = f"what a {kind} takes ({error})"
        raise invalid_arg("model", "config", dict(config), expected) from error


def _adapted(model: Any, task: str, padding: int) -> nn.Module:
    """Let a model take tokens and give scores, under its own names.

    Its `forward` is replaced and not wrapped into another module, so that param groups and saved
    weights have the names by which transformers knows them.
    """
    call, is_per_token = model.forward, task == "causal_lm"

    def forward(tokens: Tensor) -> Tensor:
        if is_per_token:
            # The blocks are full, but for the last: what comes after has no target.
            scores: Tensor = call(input_ids=tokens, use_cache=False).logits
            # Classes come second, as torch's losses want them.
            return scores.transpose(1, 2)
        mask = (tokens != padding).long()
        found: Tensor = call(input_ids=tokens, attention_mask=mask).logits
        return found

    model.forward = forward
    module: nn.Module = model
    return module
