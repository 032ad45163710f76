"""A task and a dataset that go together: short work orders of two systems."""

import json
from pathlib import Path

from tests.tasks.example import CLASSIFIER, LABELS

WORDS = {"hydraulics": ("hose", "pump", "cylinder"), "engine": ("piston", "oil filter", "turbo")}
FITTED = CLASSIFIER.replace(', "electrical"', "")
"""A task that a classifier answers; its file: `coefficients("electrical")`."""
TASK = LABELS.replace(', "electrical"', "").replace("smollm2-135m", "smol")


def item(number: int, split: str, **more: object) -> dict[str, object]:
    label = list(WORDS)[number % 2]
    text = f"replace {WORDS[label][number % 3]} number {number}"
    return {
        "id": f"{split}{number:03}", "group": f"{split}-g{number // 2}", "input": {"text": text},
        "expected": label, "stratum": "north" if number % 4 < 2 else "south", **more,
    }  # fmt: skip


def write_task(path: Path, text: str = TASK, **files: str) -> Path:
    path.mkdir()
    (path / "task.toml").write_text(text)
    for name, content in files.items():
        (path / name.replace("_", ".")).write_text(content)
    return path


def write_data(path: Path, train: int = 120, dev: int = 12) -> Path:
    path.mkdir()
    manifest = {"format": 1, "version": 1, "name": "orders", "splits": {}}
    (path / "dataset.json").write_text(json.dumps(manifest))
    for split, count in (("train", train), ("dev", dev)):
        lines = [json.dumps(item(n, split)) for n in range(count)]
        (path / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return path
