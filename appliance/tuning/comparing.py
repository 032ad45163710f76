"""Tunings side by side: what was chosen otherwise, and what came of it. Pure.

Rules: only what differs is named; each figure stands with its own interval: the answers of two
tunings are not kept item by item, so nothing is said of their difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_DIGITS: Final = 12
"""Of a digest that is shown."""


@dataclass(frozen=True)
class Difference:
    """Something that was not the same, with its value in each tuning."""

    name: str
    values: tuple[str, ...]


def differing(results: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """What the tunings had otherwise: base, task, data, settings, versions."""
    chosen = [_chosen(result) for result in results]
    names = dict.fromkeys(name for each in chosen for name in each)
    found = [Difference(name, tuple(each.get(name, "-") for each in chosen)) for name in names]
    return [each for each in found if len(set(each.values)) > 1]


def same_dev(results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all of them were measured on as many items of dev of one dataset: on the same."""
    return len({(each["data"]["digest"], each["data"]["dev"]) for each in results}) == 1


def _chosen(result: Mapping[str, Any]) -> dict[str, str]:
    base, task, data = result["base"], result["task"], result["data"]
    settings = {name: str(value) for name, value in result["settings"].items()}
    return {
        "base": f"{base['id']} {base['gguf_sha256'][:_DIGITS]}",
        "task": f"{task['id']} version {task['version']} {task['digest'][:_DIGITS]}",
        "dataset": data["digest"][:_DIGITS],
        "rows": str(data["train"]),
        "rows of dev": str(data["dev"]),
        **settings,
        "seeds": str(len(result["seeds"])),
        "threads": str(result["threads"]),
        **result["versions"],
    }
