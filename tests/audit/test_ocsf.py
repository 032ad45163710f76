"""OCSF 1.9: the profiles' fields, and an attestation that anybody can compute again."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from appliance.audit.export import export
from appliance.audit.log import Draft
from tests.audit.logs import ORIGIN, PROMPT, new_log, open_log, raw_body


def events(log: Path, out: Path) -> list[dict[str, Any]]:
    assert export(log, "ocsf", out) == 40
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_the_attestation_is_over_the_event_and_chains(pristine: Path, tmp_path: Path) -> None:
    previous = None
    for seq, event in enumerate(events(pristine, tmp_path / "out")):
        said = event["attestation"]
        assert said["chain_uid"] == said["authority_uid"] == ORIGIN
        assert said.get("prev_event") == previous
        bare = {**event, "attestation": {k: v for k, v in said.items() if k != "fingerprint"}}
        value = sha256(raw_body(bare)).hexdigest()
        assert said["fingerprint"] == {"algorithm": "SHA-256", "algorithm_id": 3, "value": value}
        previous = {
            "uid": str(seq), "type_uid": event["type_uid"], "fingerprint": said["fingerprint"],
        }  # fmt: skip


def test_the_profiles_have_their_attributes_where_the_schema_has_them(
    pristine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = events(pristine, out)
    assert {e["type_uid"] for e in found} == {600301, 600302, 600399}
    for event in found:
        meta = event["metadata"]
        assert (meta["version"], meta["profiles"]) == (
            "1.9.0",
            ["ai_operation", "record_integrity"],
        )
        assert set(event["unmapped"]) == {"body", "leaf", "prev"}
        if event["type_uid"] == 600301:
            assert event["ai_model"] == {"name": "m1", "ai_provider": "appliance"}
            assert {"application", "service"} <= set(event["message_context"])
    assert PROMPT not in out.read_bytes()


def test_a_status_is_one_of_the_schema(pristine: Path, tmp_path: Path) -> None:
    for event in events(pristine, tmp_path / "out"):
        if "status" in event["unmapped"]["body"]:
            assert (event["status_code"], event["status"], event["status_id"]) == (
                "completed", "Other", 99,
            )  # fmt: skip
        else:
            assert "status_id" not in event


def test_a_line_is_ascii_whatever_an_entry_names(tmp_path: Path) -> None:
    actor = "".join(map(chr, range(0x100))) + "\u2028\U0001f600"
    new_log(tmp_path / "log")
    with open_log(tmp_path / "log") as log:
        for name in ("b", actor):
            log.append(Draft("admin", {"actor": name, "action": "b"})).result()
    export(tmp_path / "log", "ocsf", tmp_path / "out")
    lines = (tmp_path / "out").read_text().splitlines()
    assert json.loads(lines[-1])["actor"] == {"user": {"uid": actor}}
    for line in lines:
        assert line.isascii() and line.isprintable()
        assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"))
