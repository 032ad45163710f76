"""How a model stands in memory, in a few words."""

from appliance.cli.output import safe
from appliance.wire.admin.models import Model


def use_of(shown: Model) -> str:
    """Loading, busy, idle or waiting, and whether it is pinned; "-" when it is not in memory."""
    words = [safe(shown.activity)] if shown.activity else []
    if shown.progress is not None:
        total = shown.progress.total
        percent = f" {100 * shown.progress.done // total} %" if total else ""
        words = [f"{safe(shown.progress.phase)}{percent}"]
    if shown.waiting:
        words.append(f"{shown.waiting} waiting")
    if shown.pinned:
        words.append("pinned")
    return ", ".join(words) or "-"


def why(shown: Model) -> str:
    """The code of what is wrong with it, or why it is not in memory any more."""
    return shown.code or (f"unloaded {safe(shown.unloaded)}" if shown.unloaded else "")
