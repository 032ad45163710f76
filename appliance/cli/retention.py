"""`audit retention`, `approve-prune` and `prune`: what becomes of an old log.

Rules: a prune names the exported copy, which is hashed here; approvers see what is signed.
"""

from pathlib import Path

import click

from appliance.cli.connect import admin_client, connected
from appliance.cli.output import Output, prints, safe, state, table
from appliance.cli.signing import key_option
from appliance.client import AdminClient
from appliance.text import many
from appliance.trust.bytes import ecdsa
from appliance.trust.statements import approval
from appliance.trust.statements.approval import PrunedEntries
from appliance.wire.admin.models import ApprovalUpload
from appliance.wire.admin.retention import PRUNE, PRUNE_APPROVE, PRUNE_SUBJECT, SEGMENTS, Prune

_BEFORE = click.IntRange(1, (1 << 53) - 1)


@click.command("retention")
@connected()
def retention(output: Output, client: AdminClient) -> None:
    """List segments that may be pruned.

    And those that may not.
    """
    found = client.call(SEGMENTS)
    rows = [
        (
            f"{one.first} to {one.last}",
            f"{one.bytes >> 20} MiB",
            one.latest or "-",
            safe(one.code) if one.code else f"--before {one.last + 1}",
        )
        for one in found.segments
    ]
    lines = table(("ENTRIES", "SIZE", "LATEST", "PRUNE"), rows)
    if found.first:
        lines.append(f"entries below {found.first} were pruned")
    output.data(found, [*lines, f"entries are kept for {many(found.keep_days, 'day')} at least"])


@click.command("approve-prune")
@click.argument("before", metavar="SEQ", type=_BEFORE)
@click.option("--as", "name", metavar="NAME", required=True, help="The approver, as in the policy.")
@key_option("The approver's private key.")
@click.option("--meaning", metavar="TEXT", required=True, help="Meaning of the signature.")
@prints
def approve_prune(
    output: Output, data: Path, before: int, name: str, key: ecdsa.SigningKey, meaning: str
) -> None:
    """Approve that old entries may go.

    Those before SEQ; it takes two people.
    """
    with admin_client(data) as client:
        wanted = client.call(PRUNE_SUBJECT, before=before)
        subject = PrunedEntries(wanted.origin, wanted.before, wanted.root)
        envelope = approval.sign(subject, name=name, meaning=meaning, private_key=key)
        output.note(f"{safe(name)} approves that the entries below {before} of")
        output.note(f"  {safe(wanted.origin)}, root {wanted.root}, may go")
        given = client.call(PRUNE_APPROVE, ApprovalUpload.holding(envelope), before=before)
    output.data(given, [f"{state('approved')}: entries below {before}, by {safe(given.name)}"])


@click.command("prune")
@click.argument("before", metavar="SEQ", type=_BEFORE)
@click.option(
    "--export", "copy", required=True, metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The copy of the entries. A directory of `appliance audit export --format tiles`.",
)  # fmt: skip
@click.option("--reason", metavar="TEXT", required=True, help="Why; this is recorded.")
@click.option("--unsent", is_flag=True, help="Also what a receiver of the log lacks.")
@prints
def prune(output: Output, data: Path, before: int, copy: Path, reason: str, unsent: bool) -> None:
    """Remove all entries before SEQ.

    The rest of the log still verifies.
    """
    from appliance.audit.exported import copied  # the database driver

    there = copied(copy, before)
    with admin_client(data) as client:
        if client.call(PRUNE_SUBJECT, before=before).witnessed is None:
            output.note("No witness has seen these entries: only the copy shows what they were.")
        entry = client.call(
            PRUNE,
            Prune.of(
                before=before,
                reason=reason,
                exported_first=there.first,
                exported_root=there.root,
                unsent=unsent,
            ),
        )
    output.data(entry, [f"pruned: the log begins with entry {before}; entry {entry.seq} says so"])
