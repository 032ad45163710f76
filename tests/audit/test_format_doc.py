"""docs/audit-format.md agrees with the code, and its vectors need no code of ours."""

import ast
import base64
import hmac
import json
import re
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.audit.checkpoint import Checkpoint, VerifierKey, sign
from appliance.audit.checkpoint import verify as verify_note
from appliance.audit.content import EncryptedText, commitment, decrypt, kek_name, unwrap
from appliance.audit.entry import KINDS, LogEntry, encode
from appliance.audit.proof import check_proof
from appliance.audit.verification import entries, epochs, surroundings, texts, verify
from appliance.audit.verification.findings import DAMAGED

DOC = (Path(__file__).parents[2] / "docs" / "audit-format.md").read_text(encoding="utf-8")
VECTORS: dict[str, str] = dict(re.findall(r"^([\w. ]+):\n```\n(.*?)```$", DOC, re.S | re.M))
DEK, KEK = bytes(range(32)), bytes(range(32, 64))
NONCE, WRAP_NONCE = bytes(range(12)), bytes(range(12, 24))


def vector(name: str) -> str:
    return VECTORS[name].rstrip("\n")


def test_every_kind_and_its_fields_are_described() -> None:
    section = DOC.partition("| kind |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.M)
    described = {kind: set(re.findall(r"`(\w+)`", fields)) for kind, fields in rows}
    assert described == {kind: set(fields) for kind, fields in KINDS.items()}


def codes_in(module: ModuleType) -> set[str]:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 3]
    codes = [call.args[1] for call in calls if ast.unparse(call.func).endswith((".add", ".entry"))]
    return {str(code.value) for code in codes if isinstance(code, ast.Constant)}


def test_every_finding_is_described() -> None:
    section = DOC.partition("| code |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in section.splitlines()[2:]]
    described = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    modules = (surroundings, entries, epochs, verify, texts)
    named = {*surroundings.STRAY.values(), DAMAGED}
    assert named.union(*map(codes_in, modules)) == described


def test_the_vectors_by_hashes_and_ciphers_alone() -> None:
    bodies = [vector("body 0").encode(), vector("body 1").encode()]
    leaves = [sha256(b"\0" + body).digest() for body in bodies]
    assert [leaf.hex() for leaf in leaves] == [vector("leaf hash 0"), vector("leaf hash 1")]
    first, second = map(json.loads, bodies)
    assert second["prev"] == leaves[0].hex()
    for body, fields in zip(bodies, (first, second), strict=True):
        compact = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert compact.encode() == body

    text, _, line = VECTORS["checkpoint"].partition("\n\n")
    origin, size, root = text.split("\n")
    assert (origin, size) == (first["origin"], "2")
    assert base64.b64decode(root) == sha256(b"\1" + leaves[0] + leaves[1]).digest()
    public = bytes.fromhex(first["public_key"])
    key_id = sha256(origin.encode() + b"\n\x01" + public).digest()[:4]
    signature = base64.b64decode(line.removeprefix(f"\u2014 {origin} "))
    assert signature[:4] == key_id
    Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], text.encode() + b"\n")
    encoded = base64.b64encode(b"\x01" + public).decode()
    assert vector("genesis.pub") == f"{origin}+{key_id.hex()}+{encoded}"

    name = second["content"]["key"]
    part = second["content"]["parts"]["prompt"]
    sealed = AESGCM(DEK).encrypt(NONCE, b"Hello", f"{name}|prompt".encode())
    assert sealed.hex() == vector("ciphertext and tag")
    assert sha256(NONCE + sealed).hexdigest() == part["ciphertext"] == vector("ciphertext hash")
    extracted = hmac.digest(bytes(32), DEK, "sha256")
    info = f"appliance audit commitment v1|{name}|prompt".encode() + b"\x01"
    committed = hmac.digest(hmac.digest(extracted, info, "sha256"), b"Hello", "sha256").hex()
    assert committed == part["commitment"] == vector("commitment")
    wrapped = AESGCM(KEK).encrypt(WRAP_NONCE, DEK, f"appliance audit dek v1|{name}".encode())
    assert (WRAP_NONCE + wrapped).hex() == vector("wrapped DEK")
    assert hmac.digest(KEK, b"appliance audit kek v1", "sha256")[:8].hex() == vector("KEK id")


def test_the_vectors_by_the_product() -> None:
    genesis, intent = (LogEntry.parse(vector(name).encode()) for name in ("body 0", "body 1"))
    assert [encode(e.body) for e in (genesis, intent)] == [genesis.raw, intent.raw]
    note, key_line = VECTORS["checkpoint"].encode(), vector("genesis.pub").encode()
    head = verify_note(note, VerifierKey.parse(key_line))
    assert sign(head, Ed25519PrivateKey.from_private_bytes(bytes(range(32)))) == note
    assert head == Checkpoint(str(genesis.body["origin"]), 2, head.root)
    proved = check_proof(VECTORS["proof of entry 1"].encode(), key_line)
    assert (proved.seq, proved.body) == (1, intent.body)
    name = str(json.loads(intent.raw)["content"]["key"])
    sealed = EncryptedText(NONCE, bytes.fromhex(vector("ciphertext and tag")))
    assert decrypt(DEK, name, "prompt", sealed) == b"Hello"
    assert commitment(DEK, name, "prompt", b"Hello").hex() == vector("commitment")
    assert unwrap(KEK, name, bytes.fromhex(vector("wrapped DEK"))) == DEK
    assert kek_name(KEK) == vector("KEK id")
