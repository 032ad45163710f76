"""Texts that would overflow the stack of a tokeniser's own expression.

Rules: some tokenisers use an expression of C++'s library, which recurses once for each letter of a
word; for them a run of letters and digits, of white space or of signs is bounded.
"""

import re
from typing import Final

from appliance.errors import BadRequest

LONGEST: Final = 64 << 10
"""Bytes: less than half of what a stack of 64 MiB was measured to take."""
_LOOPS: Final = frozenset(
    {
        "chatglm-bpe", "codeshell", "command-r", "dbrx", "exaone", "exaone4", "gemma4", "gpt-2",
        "granite-docling", "jais", "llama-bpe", "llama-v3", "llama3", "minerva-7b", "mpt", "olmo",
        "phi-2", "qwen2", "qwen35", "refact", "smaug-bpe", "smollm", "stablelm2", "starcoder",
        "trillion",
    }
)  # fmt: skip
_SIGNS: Final = rb"!-/:-@\[-`{-~\x00-\x08\x0e-\x1f\x7f"
_RUN: Final = re.compile(rb"[^" + _SIGNS + rb"\t-\r ]+|[\t-\r ]+|[" + _SIGNS + rb"]+")


def recurses(pre: str | None) -> bool:
    """True if a BPE vocabulary's way of splitting recurses, by its name in the model's file."""
    return pre not in _LOOPS


def check_runs(text: bytes) -> None:
    """Refuse a run that is too long (`request_too_large`)."""
    if any(run.end() - run.start() > LONGEST for run in _RUN.finditer(text)):
        raise BadRequest(
            "request_too_large",
            f"The prompt has a word of more than {LONGEST} bytes, which the model's tokeniser does "
            "not take.",
        )
