"""model-signing 1.1.1 over pipes: signs and verifies. See tests/oracle.py."""

import json
import pathlib
import sys
from typing import Any

from model_signing import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    hashing,
    signing,
    verifying,
)


def hashes(question: dict[str, Any]) -> Any:
    config = hashing.Config()
    if question.get("shard_size"):
        config = config.use_shard_serialization(shard_size=question["shard_size"])
    else:
        config = config.use_file_serialization()
    return config.set_ignored_paths(paths=[question["signature"]], ignore_git_paths=True)


def answer(question: dict[str, Any]) -> None:
    """Any exception is a refusal."""
    by_key = "chain" not in question
    if question["do"] == "sign":
        signer = signing.Config()
        if "token" in question:
            signer = signer.use_pkcs11_signer(pkcs11_uri=question["token"])
        elif by_key:
            signer = signer.use_elliptic_key_signer(private_key=question["key"])
        else:
            signer = signer.use_certificate_signer(
                private_key=question["key"],
                signing_certificate=question["certificate"],
                certificate_chain=question["chain"],
            )
        signer.set_hashing_config(hashes(question)).sign(question["model"], question["signature"])
        return
    verifier = verifying.Config()
    if by_key:
        verifier = verifier.use_elliptic_key_verifier(public_key=question["key"])
    else:
        verifier = verifier.use_certificate_verifier(certificate_chain=question["chain"])
    if not question.get("guess"):
        verifier = verifier.set_hashing_config(hashes(question))
    verifier.set_ignore_unsigned_files(question.get("ignore_unsigned", False)).verify(
        pathlib.Path(question["model"]), question["signature"]
    )


answers, sys.stdout = sys.stdout, sys.stderr  # the library prints, too
for line in sys.stdin:
    try:
        answer(json.loads(line))
        told = {"ok": True, "error": ""}
    except Exception as error:
        told = {"ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
    answers.write(json.dumps(told) + "\n")
    answers.flush()
