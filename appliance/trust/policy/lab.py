"""Keys and policy of the lab profile, for one person to try the product.

Rules: the keys never leave this machine, files with mode 0600; the policy says `lab`, so that no
site takes it for its own; publisher and approvers are different people even when one person holds
all keys.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from appliance.clock import Clock, iso
from appliance.errors import UsageError
from appliance.trust.bytes import dsse, ecdsa, evidence, strict_json
from appliance.trust.policy import policy
from appliance.types import JsonValue

PUBLISHER: Final = "publisher"
APPROVERS: Final = ("approver-1", "approver-2")
ROOT: Final = "root"
MARK: Final = ecdsa.LAB + b", not for production\n"
"""Stands before the PEM of every key of a lab; a site refuses such files."""


def create(data: Path, clock: Clock, *, evaluated: bool = False) -> None:
    """Make `keys/lab/*.pem` and `.pub`, `trust/root.pub` and the signed `trust/policy.json`.

    Args:
        evaluated: every task needs an evaluation.

    Raises:
        UsageError: `data_exists` when there are lab keys or a policy already.
    """
    keys_directory, trust = data / "keys" / "lab", data / "trust"
    try:
        keys_directory.mkdir(mode=0o700, parents=True)
        trust.mkdir(mode=0o700)
    except FileExistsError as error:
        raise UsageError("data_exists", f"{data} has keys or a trust policy already.") from error
    keys = {name: ec.generate_private_key(ec.SECP384R1()) for name in (ROOT, PUBLISHER, *APPROVERS)}
    for name, key in keys.items():
        _write(keys_directory / f"{name}.pem", MARK + ecdsa.private_pem(key), 0o600)
        _write(keys_directory / f"{name}.pub", MARK + ecdsa.public_pem(key.public_key()), 0o644)
    public = {name: key.public_key() for name, key in keys.items()}
    public[evidence.NAME] = evidence.ensure(data, MARK).public_key()
    document = _policy(public, clock)
    if evaluated:
        document["tasks"] = {"require": [policy.EVALUATION]}
    envelope = dsse.sign(strict_json.dump(document), policy.PAYLOAD_TYPE, [keys[ROOT]])
    _write(trust / "root.pub", ecdsa.public_pem(keys[ROOT].public_key()), 0o644)
    _write(trust / "policy.json", envelope, 0o644)


def _policy(keys: dict[str, ecdsa.PublicKey], clock: Clock) -> dict[str, JsonValue]:
    people = (PUBLISHER, *APPROVERS, evidence.NAME)
    return {
        "version": 1,
        "profile": "lab",
        "org": "lab",
        "issued": iso(clock.wall_us()),
        "keys": {
            ecdsa.hint(keys[name]): {"pem": ecdsa.public_pem(keys[name]).decode(), "person": name}
            for name in people
        },
        "roles": {
            policy.PUBLISHER: {"keys": [ecdsa.hint(keys[PUBLISHER])], "threshold": 1},
            policy.APPROVER: {
                "keys": [ecdsa.hint(keys[name]) for name in APPROVERS],
                "threshold": len(APPROVERS),
                "distinct_from": [policy.PUBLISHER],
            },
            policy.EVALUATOR: {"keys": [ecdsa.hint(keys[evidence.NAME])], "threshold": 1},
        },
        "models": [],
        "revoked": {"keys": [], "serials": [], "digests": [], "engines": []},
    }


def _write(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
