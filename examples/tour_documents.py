"""The tour's handbook: 80 fault codes of an invented excavator, and a question about each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

SHARES: Final = {"train": 5, "dev": 15, "test": 60}
TASK: Final = """\
id = "fault-code"
description = "Question about a fault code to the sentence of the handbook that answers it."
input = [{ name = "question", max_chars = 300 }]
max_tokens = 120

[candidate]
%s

[prompt]
system = "Answer from the handbook."
user = "{{ question }}"

[output]
form = "text"
collection = "handbook"
passages = 3
quotes = true

[gate]
metric = "exact_match"
margin = 0.05
floor = 0.5
baseline = "none"

[compare.text]
match = "pattern"
"""
_PLACES: Final = (
    "boom cylinder", "swing motor", "travel drive", "cooling fan", "fuel filter",
    "alternator", "pilot pump", "bucket linkage", "cabin heater", "track tensioner",
)  # fmt: skip
_SYMPTOMS: Final = (
    "loses pressure when it is warm", "draws more current than it may",
    "does not answer the controller", "vibrates above its limit", "is blocked or frozen",
    "has reached its hours of service", "is hotter than 95 degrees",
    "reports two values that contradict each other",
)  # fmt: skip


def without() -> str:
    """The same task by the model alone, which has never seen the handbook."""
    return (
        TASK.replace('collection = "handbook"\npassages = 3\nquotes = true\n', "")
        .replace('id = "fault-code"', 'id = "fault-code-bare"')
        .replace("max_tokens = 120", "max_tokens = 30")
        .replace("Answer from the handbook.", "Answer in one sentence.")
    )


def write(directory: Path) -> None:
    """Write the handbook as Markdown, a chapter for each part."""
    directory.mkdir()
    chapters = []
    for number, place in enumerate(_PLACES):
        sentences = " ".join(sentence for code, sentence in faults() if code // 10 == 10 + number)
        chapters.append(f"## Faults of the {place}\n\n{sentences}\n")
    text = "# Handbook of the K-200\n\n" + "\n".join(chapters)
    (directory / "handbook.md").write_text(text, encoding="utf-8")


def faults() -> Iterator[tuple[int, str]]:
    """Each code with the sentence that explains it."""
    for part, place in enumerate(_PLACES):
        for number, symptom in enumerate(_SYMPTOMS):
            code = 100 + 10 * part + number
            yield code, f"Fault code {code} means that the {place} {symptom}."


def items() -> list[dict[str, Any]]:
    """A question about each fault, every one a group of its own, in the order of the splits."""
    splits = [split for split, count in SHARES.items() for _ in range(count)]
    return [
        {
            "id": f"fault-{code}",
            "group": f"fault-{code}",
            "split": split,
            "input": {"question": f"What does fault code {code} mean?"},
            "expected": f'"{sentence[:-1]}\\." \\[[0-9]+\\]',
        }
        for split, (code, sentence) in zip(splits, _mixed(), strict=True)
    ]


def _mixed() -> list[tuple[int, str]]:
    found = list(faults())
    return [found[(index * 27) % len(found)] for index in range(len(found))]
