"""The keys screen: each app's key, its limits and use.

Rules: a secret is nowhere but in the answer that made it.
"""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.wire.admin.keys import KEY_TABLE, Key, NewKey, allowed_models
from tui import chart
from tui.columns import Column, cells, listed
from tui.text import WHOLE, Cell, alarm, cell, labelled, line, lines, quiet, state
from tui.view.units import clock, count, many

COLUMNS: Final = (
    listed(KEY_TABLE, "NAME", 0, least=16, most=40),
    listed(KEY_TABLE, "STATE", 10),
    Column("TOKENS", 12, right=True),
    Column("SHARE", 12),
    Column("REQUESTS", 9, right=True, drop=1),
    Column("REQ/MIN", 8, right=True, drop=3),
    Column("TOKENS/MIN", 10, right=True, drop=3),
    Column("AT ONCE", 7, right=True, drop=4),
    listed(KEY_TABLE, "LAST USED", 19, drop=2),
    listed(KEY_TABLE, "ID", 18, drop=5),
)


def tokens(key: Key) -> int:
    """Number of tokens that a key has used, read and written."""
    return key.usage.prompt_tokens + key.usage.completion_tokens


def row(key: Key, most: int, *, ascii_only: bool) -> Sequence[Cell]:
    """One key; a bar is full at `most` tokens, those of the key that used most."""
    limits = key.limits
    own: dict[str, Cell] = {
        "TOKENS": count(tokens(key)),
        "SHARE": chart.bar(tokens(key), most, 12, ascii_only=ascii_only),
        "REQUESTS": count(key.usage.requests),
        "REQ/MIN": count(limits.rpm) if limits.rpm else "no limit",
        "TOKENS/MIN": count(limits.tpm) if limits.tpm else "no limit",
        "AT ONCE": count(limits.concurrency) if limits.concurrency else "any",
    }
    return cells(COLUMNS, key, own)


def detail(key: Key, minute: tuple[int, int], width: int, *, ascii_only: bool) -> list[Content]:
    """`minute`: requests and tokens of the last minute, as far as this program saw them."""
    limits = key.limits
    said = labelled("key", line(key.id, state(key.state), quiet(f"role {key.role}")), width)
    said += labelled("models", allowed_models(key), width)
    expires = clock(key.expires) if key.expires else "never"
    said += labelled("expires", line(expires, quiet(f"made {clock(key.created)}")), width)
    if key.rotated_until:
        said += labelled("old secret", f"good until {clock(key.rotated_until)}", width)
    if key.certificate:
        said += labelled("client crt", key.certificate, width)
    for label, used, most in (
        ("req/min", minute[0], limits.rpm),
        ("tokens/min", minute[1], limits.tpm),
    ):
        drawn = chart.bar(used, most or 0, 24, ascii_only=ascii_only)
        of = f"{count(used)} of {count(most)}" if most else f"{count(used)}, no limit"
        said += labelled(label, line(drawn, of), width)
    share = f"weight {limits.weight}, {limits.priority}, at once {count(limits.concurrency)}"
    said += labelled("share", share, width)
    whole = key.usage
    said += labelled(
        "used",
        f"{many(whole.requests, 'request')}, {many(whole.prompt_tokens, 'token')} read, "
        f"{count(whole.completion_tokens)} written",
        width,
    )
    return said


def secret(made: NewKey, url: str = "") -> list[Content]:
    """A secret, which is shown once, and where the app uses it."""
    return [
        line(cell(made.name, "bold"), quiet(made.id)),
        Content(""),
        cell(made.secret, "bold $text-warning", limit=WHOLE),
        Content(""),
        alarm("Shown once: only its hash is kept. Give it to the app now, then press esc."),
        *([cell(f"base URL {url}/v1")] if url else []),
        lines([quiet("Authorization: Bearer SECRET, or x-api-key")]),
    ]
