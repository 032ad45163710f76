"""The record of an upstream host: any other value is another record."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import UsageError
from appliance.trust.statements.upstream import UpstreamRecord, certificates_of

RECORD = UpstreamRecord(
    "big", "vllm", "https://gpu-1:8443", "there", ("ab" * 32,), (), True, "cd" * 32
)
OTHERS: dict[str, Any] = {
    "name": "other",
    "kind": "sglang",
    "url": "https://gpu-2:8443",
    "model": "another",
    "ca": (),
    "client": ("ef" * 32,),
    "keeps_content": False,
    "fingerprint": "00" * 32,
    "does": "embed",
}


@pytest.mark.parametrize("field", [field.name for field in fields(UpstreamRecord)])
def test_each_value_is_part_of_the_digest(field: str) -> None:
    other = replace(RECORD, **{field: OTHERS[field]})
    assert other.digest != RECORD.digest
    # What people approved before a model could do anything but write.
    assert RECORD.digest == "234818667208bbc609d394594ef30ce0f28e54215781c29c147b8cd5e0714135"


def test_the_hosts_of_an_upstream_share_its_identity() -> None:
    host = replace(RECORD, url="https://gpu-2:8443", ca=(), client=("ef" * 32,))
    assert host.identity == RECORD.identity != host.digest
    assert replace(RECORD, fingerprint="00" * 32).identity != RECORD.identity


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(UsageError) as caught:
            certificates_of(tmp_path / name)
        assert caught.value.code == "certificate_unusable"
