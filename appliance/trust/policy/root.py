"""The roots of trust: who holds which role, and how one root follows another.

Rules:
- A root takes at least two people; keys are ECDSA and differ, and so do the people of one role.
- The next root is signed by the one before and by itself; none is skipped, and each number has one
  root for ever.
- A root may reset the clock's floor (`CLOCK`), for appliances whose clock was once in the future,
  but not to before what was signed already.

Source: TUF specification 1.0.33, section 5.3; ADR 0021 and 0027.
"""

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tuf.api.metadata import Key, Metadata, Root

from appliance.errors import SignatureRefused
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import people
from appliance.trust.policy.tuf_file import demand, load, refused

HOLDER: Final = "x-holder"
"""The field of a key in the root that names the person who holds it."""
CLOCK: Final = "x-clock-floor"
"""The field of a root that says: this is the time, whatever was recorded before."""
MAX_ROOTS: Final = 32
_ROOT_NAME: Final = re.compile(r"([1-9]\d{0,6})\.root\.json")
_SCHEMES: Final = {
    "secp256r1": "ecdsa-sha2-nistp256",
    "secp384r1": "ecdsa-sha2-nistp384",
    "secp521r1": "ecdsa-sha2-nistp521",
}
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class Reset(NamedTuple):
    """A root, by version, that set the clock's floor, in microseconds since the epoch."""

    root: int
    floor_us: int


def fingerprint(root: bytes) -> str:
    """Hex SHA-256 of the file of a root, as `sha256sum` prints it."""
    return hashlib.sha256(root).hexdigest()


def version_of(name: str) -> int | None:
    """The version in the name of a root's file, `N.root.json`; None for another file."""
    match = _ROOT_NAME.fullmatch(name)
    return int(match[1]) if match else None


def follow(
    root: Root, held: tuple[bytes, ...], offer: Mapping[str, bytes], signed_us: int
) -> tuple[Root, tuple[bytes, ...]]:
    """Go from root to root, each signed by the one before and by itself; the last one, and all.

    Args:
        signed_us: the time of the policy in force: no root may set the clock before it.

    Raises:
        PolicyRefused: `trust_root_unrelated`, `trust_root_version`, `clock_reset_refused`,
            `trust_metadata_too_long`.
    """
    offered = {n: offer[name] for name in offer if (n := version_of(name)) is not None}
    if len(offered) > MAX_ROOTS:
        raise refused("trust_metadata_too_long", f"there are more than {MAX_ROOTS} roots")
    roots, earlier = list(held), reset_of(held[1:])
    least_us = max(signed_us, earlier.floor_us if earlier else 0)
    known = offered.pop(root.version, None)
    if known is not None and known != roots[-1]:
        same = load(Root, known, f"{root.version}.root.json")
        if same.signed != root:
            raise refused("trust_root_unrelated", f"root {root.version} is another one than here")
    for version in sorted(number for number in offered if number > root.version):
        name = f"{version}.root.json"
        new = load(Root, offered[version], name)
        if not (new.signed.version == version == root.version + 1):
            raise refused(
                "trust_root_version",
                f"{name} is root {new.signed.version}, after root {root.version}",
            )
        demand(root, "root", new, "trust_root_unrelated", f"{name} and the root before it")
        check(new)
        least_us = _check_clock(new.signed, name, least_us)
        root = new.signed
        roots.append(offered[version])
    return root, tuple(roots)


def verify_chain(held: tuple[bytes, ...]) -> None:
    """Verify again that each of these roots followed the one before."""
    root = load(Root, held[0], "root.json").signed
    for place in range(1, len(held)):
        name = f"{root.version + 1}.root.json"
        root, _ = follow(root, held[:place], {name: held[place]}, 0)


def _check_clock(root: Root, name: str, least_us: int) -> int:
    floor_us = _clock_us(root)
    if floor_us is not None and floor_us < least_us:
        raise refused(
            "clock_reset_refused", f"{name} sets the clock before what was signed already"
        )
    return least_us if floor_us is None else floor_us


def reset_of(roots: Sequence[bytes]) -> Reset | None:
    """The newest of these roots, without the first, that set the clock's floor."""
    for data in reversed(roots):
        if CLOCK.encode() in data:
            root = load(Root, data, "root.json").signed
            if (floor_us := _clock_us(root)) is not None:
                return Reset(root.version, floor_us)
    return None


def _clock_us(root: Root) -> int | None:
    said = root.unrecognized_fields.get(CLOCK)
    if said is None:
        return None
    try:
        at = datetime.datetime.strptime(said, _TIME).replace(tzinfo=datetime.UTC)
    except (ValueError, TypeError) as error:
        raise refused(
            "trust_metadata_malformed", f"{CLOCK} is not like 2026-11-24T16:00:00Z"
        ) from error
    return int(at.timestamp()) * 1_000_000


def check(metadata: Metadata[Root]) -> None:
    """Refuse a root that is not signed by itself, or has fewer than two people with good keys.

    Raises:
        PolicyRefused: `trust_threshold`, `trust_root_weak`, `trust_metadata_malformed`;
            `trust_profile` for a key of a lab.
    """
    root = metadata.signed
    demand(root, "root", metadata, "trust_threshold", f"root {root.version}")
    if root.consistent_snapshot:
        raise refused("trust_metadata_malformed", "consistent snapshots are for servers")
    if root.roles["root"].threshold < 2:
        raise refused("trust_root_weak", "one person could sign a root")
    hints: set[str] = set()
    for key in root.keys.values():
        pem = str(key.keyval.get("public")).encode()
        if ecdsa.is_lab(pem):
            raise refused("trust_profile", "a key in the root is that of a lab")
        try:
            public = ecdsa.load_public(pem)
        except SignatureRefused as error:
            raise refused("trust_root_weak", f"a key in the root: {error.message}") from error
        if key.keytype != "ecdsa" or key.scheme != _SCHEMES[public.curve.name]:
            raise refused("trust_root_weak", f"a key in the root has the scheme {key.scheme!r}")
        if ecdsa.hint(public) in hints:
            raise refused("trust_root_weak", "one key is in the root under two names")
        hints.add(ecdsa.hint(public))
    for name, role in root.roles.items():
        keys = [root.keys[keyid] for keyid in role.keyids if keyid in root.keys]
        holders = [h for key in keys if (h := holder_of(key)) is not None]
        if len(keys) < role.threshold or len(set(holders)) != len(holders):
            raise refused("trust_root_weak", f"{name} has too few people for its threshold")
    if pair := people.lookalikes(filter(None, map(holder_of, root.keys.values()))):
        raise refused("trust_root_weak", f"the holders {pair[0]!r} and {pair[1]!r} look like one")


def holder_of(key: Key) -> str | None:
    """The person who holds a key, if the root names one (`trust_root_weak`)."""
    name = key.unrecognized_fields.get(HOLDER)
    if name is not None and not (isinstance(name, str) and people.usable(name)):
        raise refused("trust_root_weak", "a key in the root has a holder without a usable name")
    return name
