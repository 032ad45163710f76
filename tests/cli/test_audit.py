"""`appliance audit …`."""

import json
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.cli.audit import _holds, _replayed
from appliance.wire.admin.results import AnswersReplayed
from auditor import verify_export, witness
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command


@pytest.fixture
def proof(lab: LabData, run: Run, tmp_path: Path) -> Path:
    """Of the entry that a new key made."""
    run("key", "create", "app")
    path = tmp_path / "p.txt"
    assert run("audit", "proof", "1", "--out", path).status == 0
    return path


def genesis(lab: LabData) -> Path:
    return lab.data / "audit" / "genesis.pub"


def tamper(lab: LabData) -> None:
    """Behind SQLite's and the product's back."""
    connection = pysqlite3.dbapi2.connect(str(lab.data / "audit" / "log.db"))
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(
        "UPDATE leaf SET body = CAST(replace(body, 'key_create', 'key_delete') AS BLOB)"
    )
    connection.commit()
    connection.close()


def test_a_good_log(lab: LabData, run: Run) -> None:
    run("key", "create", "app")
    done = run("audit", "verify", "--json")
    assert done.status == 0
    document = done.document
    assert (document["ok"], document["entries"], document["problems"]) == (True, 2, [])
    assert (document["from"], document["to"]) == (0, 1)
    assert len(document["root"]) == 64
    assert "[+] verified" in run("audit", "verify", "--key", genesis(lab)).out


def test_a_changed_entry_is_a_problem_and_exit_1(lab: LabData, run: Run) -> None:
    run("key", "create", "app")
    tamper(lab)
    done = run("audit", "verify", "--json")
    assert (done.status, done.document["ok"]) == (1, False)
    problems = done.document["problems"]
    assert {(p["seq"], p["code"]) for p in problems} >= {
        (0, "schema_mismatch"),
        (1, "leaf_mismatch"),
    }
    assert all(set(problem) == {"seq", "code", "message"} for problem in problems)
    plain = run("audit", "verify")
    assert plain.status == 1
    assert "[!] failed" in plain.out


def test_a_log_that_may_not_be_continued_can_still_be_verified(lab: LabData, run: Run) -> None:
    run("key", "create", "app")
    (lab.data / "trust" / "policy.json").write_bytes(b"{}")  # nothing opens any more
    assert run("status", "--json").status == 1
    assert run("audit", "verify", "--json").status == 0


def test_what_a_replay_says() -> None:
    answers = [
        {"seq": 7, "verdict": "same"},
        {"seq": 9, "verdict": "differs", "why": "another token was chosen", "token": 2,
         "was": " a\x1b[2J", "now": " b"},
        {"seq": 11, "verdict": "cannot", "why": "its texts were not kept"},
    ]  # fmt: skip
    found = AnswersReplayed.model_validate({
        "same": 1, "differs": 1, "cannot": 1, "answers": answers,
        "reasons": {"its texts were not kept": 1},
    })  # fmt: skip
    said = list(_replayed(found))
    assert said[:2] == ["1 same, 1 differ, 1 cannot", "  entry 7: [+] same"]
    assert said[2].startswith("  entry 9: [!] differs at token 2, because another token was chosen")
    assert "\x1b" not in said[2] and "is ' b'" in said[2]
    assert said[3].endswith("cannot, because its texts were not kept")


@pytest.mark.parametrize(
    ("found", "drawn", "each"),
    [
        ({"same": 3}, True, True),
        ({"same": 3, "cannot": 1}, True, False),
        ({"same": 3, "cannot": 1, "unproved": 1}, False, False),
        ({"same": 3, "differs": 1}, False, False),
        ({}, True, False),  # as an empty file
        ({"written": 2}, True, True),
    ],
)
def test_when_a_replay_holds(found: dict[str, int], drawn: bool, each: bool) -> None:
    whole = {"same": 0, "differs": 0, "cannot": 0, "reasons": {}, "answers": [], **found}
    told = AnswersReplayed.model_validate(whole)
    assert (_holds(told, each=False), _holds(told, each=True)) == (drawn, each)


def test_a_replay_needs_a_server(run: Run) -> None:
    assert run("audit", "replay", "1").status == 3


def test_a_range(run: Run) -> None:
    run("key", "create", "app")
    assert run("audit", "verify", "--from", "1", "--to", "1", "--json").document["from"] == 1
    assert run("audit", "verify", "--from", "99", "--json").code == (1, "not_found")
    assert run("audit", "verify", "--from", "-1").status == 2


def test_tail_show_and_search(run: Run) -> None:
    run("key", "create", "app")
    newest = run("audit", "tail", "-n", "1", "--json").document["entries"]
    assert [(e["seq"], e["kind"], e["body"]["action"]) for e in newest] == [
        (1, "admin", "key_create")
    ]
    assert run("audit", "show", "1", "--json").document == newest[0]
    assert "action=key_create" in run("audit", "tail").out
    assert '"key_create"' in run("audit", "show", "1").out
    found = run("audit", "search", "--kind", "admin", "--json").document["entries"]
    assert found == newest
    assert run("audit", "search", "--kind", "admin", "--until", "2001-01-01").out.startswith(
        "No entries match."
    )
    assert run("audit", "show", "7", "--json").code == (1, "not_found")
    assert run("audit", "search", "--since", "noon", "--json").code == (1, "invalid_value")


def test_a_page_says_where_the_next_begins(run: Run) -> None:
    run("key", "create", "a")
    run("key", "create", "b")
    done = run("audit", "search", "--limit", "2")
    assert "--after 1" in done.err
    rest = run("audit", "search", "--limit", "2", "--after", "1", "--json").document
    assert ([e["seq"] for e in rest["entries"]], rest["next_after"]) == ([2], None)


def test_a_proof_is_checked_with_the_genesis_key_alone(
    lab: LabData, proof: Path, tmp_path: Path
) -> None:
    key = tmp_path / "kept.pub"
    key.write_bytes(genesis(lab).read_bytes())
    done = run_command("audit", "check-proof", proof, "--key", key, "--json")
    assert done.status == 0
    assert (done.document["ok"], done.document["seq"], done.document["size"]) == (True, 1, 2)
    assert done.document["body"]["action"] == "key_create"
    plain = run_command("audit", "check-proof", proof, "--key", key).out
    assert f"seq 1 root {done.document['root']}" in plain


def test_a_proof_that_does_not_hold(lab: LabData, proof: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.write_bytes(proof.read_bytes().replace(b"index 1", b"index 0"))
    done = run_command("audit", "check-proof", changed, "--key", genesis(lab), "--json")
    assert done.code == (1, "proof_invalid")


def test_a_proof_of_another_log(proof: Path, tmp_path: Path) -> None:
    run_command("init", data=tmp_path / "other")
    key = tmp_path / "other" / "audit" / "genesis.pub"
    assert run_command("audit", "check-proof", proof, "--key", key, "--json").code == (
        1,
        "proof_invalid",
    )
    no_key = run_command("audit", "check-proof", proof, "--key", proof, "--json")
    assert no_key.code == (1, "audit_key_invalid")


def test_show_content_is_json_too(run: Run) -> None:
    assert json.loads(run("audit", "show", "0", "--content", "--json").out)["content"] == {}


def test_a_checkpoint_for_people_and_for_cameras(run: Run, tmp_path: Path) -> None:
    note = run("audit", "checkpoint", "--json").document["note"]
    assert note.startswith("appliance.lab/")
    done = run("audit", "checkpoint", "--qr", "--png", tmp_path / "c.png")
    assert done.status == 0
    assert "█" in done.out or "▄" in done.out
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert run("audit", "checkpoint", "--request", tmp_path / "r").status == 2


def test_a_witness_over_files(lab: LabData, run: Run, tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    assert witness.main(["key", str(desk), "w.example/witness"]) == 0
    assert witness.main(["trust", str(desk), str(genesis(lab))]) == 0
    key, request, answer = desk / "witness.pub", tmp_path / "request", tmp_path / "answer"
    run("key", "create", "app")
    assert run("status", "--json").document["audit"]["witnessed"] is None
    asked = run("audit", "checkpoint", "--request", request, "--witness-key", key)
    assert asked.status == 0
    assert witness.main(["cosign", str(desk), str(request), str(answer)]) == 0
    assert run("audit", "witness", answer, "--witness-key", key).status == 0
    head = run("status", "--json").document["audit"]
    assert head["unwitnessed"] == 1  # the entry that records the answer
    assert head["witnessed"]
    path = tmp_path / "p"
    assert run("audit", "proof", "1", "--out", path, "--witness-key", key).status == 0
    checked = ("audit", "check-proof", path, "--key", genesis(lab), "--json")
    assert run(*checked, "--witness-key", key).document["witnessed"]
    answer.write_text("x")
    refused = run("audit", "witness", answer, "--witness-key", key, "--json")
    assert refused.code == (1, "checkpoint_invalid")


def test_the_sites_key_leads_to_the_log(lab: LabData, run: Run, proof: Path) -> None:
    certificate, site = lab.data / "audit" / "genesis.cert", lab.data / "trust" / "root.pub"
    checked = ("audit", "check-proof", proof, "--key", certificate, "--json")
    assert run(*checked, "--site-key", site).document["seq"] == 1
    assert run(*checked).code == (1, "audit_key_invalid")


def test_erasing_what_nobody_asked(run: Run) -> None:
    asked = ("audit", "erase", "--request", "none", "--reason", "test", "--json")
    assert run(*asked).code == (1, "not_found")


def test_an_export_is_verified_elsewhere(lab: LabData, run: Run, tmp_path: Path) -> None:
    run("key", "create", "app")
    out = tmp_path / "out"
    assert run("audit", "export", "--format", "tiles", "--out", out).status == 0
    assert verify_export.main([str(out), str(genesis(lab))]) == 0
    again = run("audit", "export", "--format", "csv", "--out", out, "--json")
    assert again.status in (1, 2)
    assert again.document["code"] == "data_exists"


def test_search_can_begin_with_the_newest(run: Run) -> None:
    run("key", "create", "a")
    run("key", "create", "b")
    done = run("audit", "search", "--newest", "--limit", "2")
    assert "--before 1" in done.err
    rest = run("audit", "search", "--newest", "--limit", "2", "--before", "1", "--json").document
    assert ([e["seq"] for e in rest["entries"]], rest["next_before"]) == ([0], None)
    assert run("audit", "search", "--app", "a", "--code", "stop").out.startswith(
        "No entries match."
    )


def test_a_kept_checkpoint_is_proved_to_be_the_beginning(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    older, proof = tmp_path / "older", tmp_path / "proof"
    older.write_text(run("audit", "checkpoint", "--json").document["note"])
    run("key", "create", "more")
    assert run("audit", "consistency", older, "--out", proof, "--json").status == 0
    done = run_command("audit", "check-consistency", proof, "--key", genesis(lab), "--json")
    assert (done.status, done.document["ok"], done.document["new"]) == (0, True, 2)
    proof.write_bytes(proof.read_bytes().replace(b"\n2\n", b"\n3\n"))
    refused = run_command("audit", "check-consistency", proof, "--key", genesis(lab), "--json")
    assert refused.code == (1, "proof_invalid")
    older.write_text(older.read_text().replace("\n1\n", "\n9\n"))
    assert run("audit", "consistency", older, "--out", proof, "--json").code == (1, "not_found")


def test_a_key_says_what_is_kept_of_its_texts(run: Run) -> None:
    made = run("key", "create", "quiet", "--content", "off", "--json").document
    assert made["content"] == "off"
    assert (
        run("audit", "tail", "-n", "1", "--json").document["entries"][0]["body"]["texts"] == "off"
    )
    assert run("key", "create", "x", "--content", "maybe").status == 2
