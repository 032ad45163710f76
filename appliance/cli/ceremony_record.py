"""The printed record of a trust ceremony.

Rules: plain Markdown, 78 columns, ASCII where the names are; it has everything that somebody
compares in years, and lines for signatures by hand.
"""

import textwrap
from collections.abc import Iterator

from appliance.cli.output import safe, table
from appliance.clock import SystemClock, iso
from appliance.trust.ceremony import officer, policy_words
from appliance.trust.ceremony.ceremony import Ceremony
from appliance.trust.ceremony.officer import ROLES
from appliance.trust.policy.root import fingerprint, holder_of


def write(made: Ceremony) -> Iterator[str]:
    """The record of what is published, line by line."""
    plan, trusted = made.plan(), made.trusted()
    held, root = trusted.held, trusted.root
    yield f"# Record of the trust ceremony of {safe(plan.org)}"
    yield ""
    yield f"Date: {iso(SystemClock().wall_us())}"
    yield ""
    yield "Fingerprint of the first root (SHA-256 of 1.root.json; compare it at `init`):"
    yield ""
    yield from _digest(fingerprint(held.roots[0]))
    yield ""
    versions = ", ".join(f"{name} {number}" for name, number in trusted.versions.items())
    yield f"Versions: {versions}"
    yield (
        f"Valid until {trusted.expires:%Y-%m-%d %H:%M} UTC; the root until {root.expires:%Y-%m-%d}."
    )
    yield ""
    for number, data in enumerate(held.roots[1:], 2):
        yield f"SHA-256 of {number}.root.json:"
        yield ""
        yield from _digest(fingerprint(data))
        yield ""
    keys = [
        (role, str(root.roles[role].threshold), safe(str(holder_of(root.keys[keyid]))), keyid[:32])
        for role in ROLES
        for keyid in root.roles[role].keyids
    ]
    for line in table(("ROLE", "NEEDED", "HOLDER", "KEY"), keys):
        yield f"    {line}"
    yield ""
    signed = {
        "root": held.roots[-1], "targets": held.targets, "snapshot": held.snapshot,
        "timestamp": held.timestamp,
    }  # fmt: skip
    for role, data in signed.items():
        names = ", ".join(map(safe, officer.signed_by(root, role, data)))
        yield f"Signed by, {role}: {names}"
    yield ""
    yield "SHA-256 of policy.json:"
    yield ""
    yield from _digest(fingerprint(held.policy))
    yield ""
    yield "The policy:"
    yield ""
    for text in policy_words.lines(trusted.policy) if trusted.policy else ():
        yield from textwrap.wrap(safe(text), 78, initial_indent="  - ", subsequent_indent="    ")
    yield ""
    yield "Present, by hand:"
    for name in dict.fromkeys(row[2] for row in keys):
        yield ""
        yield f"{name:<30} ____________________________  ______________"


def _digest(text: str) -> Iterator[str]:
    """In groups, on two lines."""
    for half in (text[:32], text[32:]):
        yield "    " + " ".join(half[i : i + 4] for i in range(0, 32, 4))
