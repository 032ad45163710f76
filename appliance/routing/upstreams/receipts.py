"""The receipts of another appliance: where the outcome of its answer is in its own log.

Rules: an answer is refused if its receipt is malformed or its own log disproves it. A receipt is
kept unchecked where no key is configured here, and where the host does not show the proof.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.entry import LogEntry
from appliance.audit.proof import check_proof, parse_proof
from appliance.errors import ApplianceError, AuditRefused, UsageError
from appliance.routing.upstreams.connection import Connection, DocumentTooLarge
from appliance.routing.upstreams.exchange import invalid
from appliance.types import PeerReceipt

_FORM: Final = re.compile(rb"(0|[1-9][0-9]{0,14}) ([0-9a-f]{64}) ([1-9][0-9]{0,14})")
_ANSWER: Final = re.compile("[a-z]+-([0-9a-f]{32})")
_log = logging.getLogger("appliance")


class _Evidence(Struct):
    """Evidence at `/v1/receipts`."""

    proof: Annotated[str, Meta(max_length=1 << 20)]


def read(line: bytes) -> PeerReceipt:
    """Raises UpstreamLost (`upstream_invalid`)."""
    found = _FORM.fullmatch(line.strip())
    if found is None or int(found[3]) <= int(found[1]):
        raise invalid("its receipt is malformed")
    return PeerReceipt(int(found[1]), found[2].decode(), int(found[3]))


def keys(paths: Sequence[str], data: Path) -> tuple[bytes, ...]:
    """Raises UsageError (`key_unreadable`)."""
    found = []
    for path in paths:
        try:
            key = (data / path).read_bytes()
            VerifierKey.parse(key)
        except (OSError, AuditRefused) as error:
            raise UsageError("key_unreadable", f"{path}: {error}") from error
        found.append(key)
    return tuple(found)


async def checked(
    connection: Connection, answer: str, receipt: PeerReceipt | None, genesis: Sequence[bytes]
) -> PeerReceipt | None:
    """A receipt with the origin of its log, if the log proves it; unchanged where nobody knows.

    Args:
        genesis: first keys of logs, one of which it must be in; none: nothing is checked.

    Raises:
        UpstreamLost: `upstream_invalid`: there is no receipt, or it does not hold.
    """
    if not genesis:
        return receipt
    named = _ANSWER.fullmatch(answer)
    if receipt is None or named is None:
        raise invalid("it gave no receipt")
    request = f"req-{named[1]}"
    try:
        told = await connection.ask(f"/v1/receipts/{request}", None, _Evidence)
    except ApplianceError as error:
        # A proof grows with the changes of keys of its log: a large one may well hold.
        if error.code == "upstream_invalid" and not isinstance(error, DocumentTooLarge):
            raise
        _log.warning("the receipt of an answer was not checked: %s", error)
        return receipt
    origin = await asyncio.to_thread(_proved, told.proof.encode(), request, receipt, genesis)
    return PeerReceipt(receipt.seq, receipt.leaf, receipt.size, origin)


def _proved(proof: bytes, request: str, receipt: PeerReceipt, genesis: Sequence[bytes]) -> str:
    why = ""
    for key in genesis:
        try:
            body = check_proof(proof, key).body
            leaf = LogEntry.parse(parse_proof(proof).body).leaf.hex()
        except AuditRefused as error:
            why = str(error)
            continue
        said = body["kind"], body.get("request_id"), body["seq"], leaf, body.get("status")
        if said == ("outcome", request, receipt.seq, receipt.leaf, "ok"):
            return VerifierKey.parse(key).name
        why = "it is of another answer"
    raise invalid(f"its receipt does not hold: {why}")
