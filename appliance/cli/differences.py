"""Differences between the texts signed with a model and those before, for its approvers.

Rules: they are compared with the version that was served before; without one, a template with the
one in the model's own file and a grammar with nothing. Lines are safe to print.
"""

import difflib

from appliance.cli.output import safe
from appliance.client import AdminClient
from appliance.wire.admin.model_texts import MODEL_GRAMMARS, MODEL_TEMPLATE, Grammars, Template


def template_difference(
    client: AdminClient, model_id: str, against: str | None
) -> tuple[list[str], Template]:
    """A unified diff."""
    shown = client.call(MODEL_TEMPLATE, model_id=model_id)
    before, name = shown.own, "the model's own file"
    if against is not None:
        before, name = client.call(MODEL_TEMPLATE, model_id=against).used, against
    elif shown.against is not None:
        before, name = shown.before, f"{shown.against}, served before"
    return _diff(before, shown.used, name, f"{model_id} ({shown.file or 'own'})"), shown


def grammar_difference(
    client: AdminClient, model_id: str, against: str | None
) -> tuple[list[str], Grammars]:
    """Unified diffs, one after the other."""
    shown = client.call(MODEL_GRAMMARS, model_id=model_id)
    old, name = shown.before, shown.against or "nothing"
    if against is not None:
        old, name = client.call(MODEL_GRAMMARS, model_id=against).grammars, against
    before = {grammar.name: grammar for grammar in old}
    now = {grammar.name: grammar for grammar in shown.grammars}
    lines: list[str] = []
    for grammar in sorted(before.keys() | now.keys()):
        old_text, text = (
            table[grammar].text if grammar in table else "" for table in (before, now)
        )
        lines += _diff(
            old_text, text, f"{name}: grammar {grammar}", f"{model_id}: grammar {grammar}"
        )
    return lines, shown


def _diff(before: str, after: str, name: str, new_name: str) -> list[str]:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), name, new_name, lineterm=""
    )
    return [safe(line) for line in lines]
