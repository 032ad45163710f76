"""How long a proof is after a day, a month, a year: real files, put into docs/audit-format.md.

usage: python -m docs.proof_sizes
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import Checkpoint, VerifierKey, sign
from appliance.audit.entry import encode
from appliance.audit.handover import Epoch, Handover, fields
from appliance.audit.merkle import Frontier, inclusion_proof, leaf_hash
from appliance.audit.proof import Proof, check_proof

PAGE = Path(__file__).with_name("audit-format.md")
BEGIN, END = "<!-- proof sizes: python -m docs.proof_sizes -->\n", "<!-- end -->\n"
PER_DAY = 24 * 6
SPANS = (("a day", 1), ("a month", 30), ("a year", 365))
_ORIGIN = "appliance.example/audit/sizes"


def document(handovers: int) -> tuple[bytes, bytes]:
    """A proof behind so many changes of keys, and the genesis key that it holds for."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = VerifierKey(_ORIGIN, key.public_key().public_bytes_raw())
    chain, epoch = [], Epoch.first(public)
    for number in range(handovers):
        following = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32))
        said = fields(_ORIGIN, number, number + 1, key, following)
        raw = (str(said["next_key"]), str(said["signature"]))
        chain.append(Handover(number, number + 1, *map(bytes.fromhex, raw)))
        epoch, key = epoch.after(chain[-1]), following
    body = encode({
        "v": 1, "kind": "admin", "actor": "uid:0", "action": "x", "seq": handovers,
        "prev": "00" * 32, "epoch": handovers, "time_us": 1, "boot_id": "b", "mono_us": 1,
    })  # fmt: skip
    leaves = [leaf_hash(str(n).encode()) for n in range(handovers)] + [leaf_hash(body)]
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)

    def subtree(level: int, index: int) -> bytes:
        part = Frontier()
        for leaf in leaves[index << level : (index + 1) << level]:
            part.append(leaf)
        return part.root()

    note = sign(Checkpoint(_ORIGIN, len(leaves), frontier.root()), key)
    path = tuple(inclusion_proof(handovers, len(leaves), subtree))
    proof = Proof(body, handovers, path, note, tuple(chain))
    return proof.encode(), public.encode().encode()


def table() -> str:
    """The rows, each of a file that was checked."""
    lines = [
        "| without a pause for | changes of keys | bytes of a proof from genesis |",
        "|---|---|---|",
    ]
    for name, days in SPANS:
        changes = days * PER_DAY
        made, genesis = document(changes)
        check_proof(made, genesis)
        lines.append(f"| {name} | {changes:,} | {len(made):,} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
