"""The officers of a site: they hold its root of trust and open its backups."""

from pathlib import Path

from appliance.trust.bytes import ecdsa
from appliance.trust.policy import trusted_file


def keys(directory: Path) -> tuple[ecdsa.PublicKey, ...]:
    """The public keys of the root's holders; none in a lab."""
    if not trusted_file.exists(directory):
        return ()
    root = trusted_file.load(directory).root
    held = (root.keys[name].keyval["public"] for name in root.roles["root"].keyids)
    return tuple(ecdsa.load_public(str(pem).encode()) for pem in held)
