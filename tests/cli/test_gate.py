"""`eval gate` and what goes with it, by commands, without a model."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pysqlite3.dbapi2
import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.deps import Person
from appliance.api.admin.private import serve_in_thread
from appliance.app import Services, initialise, open_services
from appliance.cli import gate
from appliance.client import socket_path
from appliance.datasets import directory
from appliance.datasets.ledger import FALLING, LedgerLook, remaining
from appliance.datasets.marks import SplitMarks
from appliance.evals.gate import GateJob
from appliance.evals.gate_outcomes import write_pairs
from appliance.looks.answers import LookFiles
from appliance.trust.bytes import ecdsa, evidence
from appliance.wire.admin.results import CertificateCarried
from tests.api.admin.lab import LabData
from tests.api.admin.test_gates import made
from tests.cli.conftest import Done, run_command
from tests.evals.gates import pairs
from tests.evals.orders import FITTED, write_task
from tests.evals.sealed import add_dataset, add_task, sealing_key, write_dataset
from tests.guide_blocks import typed
from tests.smol import APPROVERS, approve
from tests.tasks.example import coefficients
from tests.tui.scripted import evaluation


@pytest.fixture
def lab(tmp_path: Path) -> LabData:
    initialise(tmp_path / "data", "lab", evaluated=True)
    return LabData(tmp_path / "data")


@pytest.fixture
def serving(lab: LabData) -> Iterator[Services]:
    with open_services(lab.data) as services:
        with serve_in_thread(create_admin_app(services), socket_path(lab.data)):
            yield services
        socket_path(lab.data).unlink()


def command(lab: LabData, *arguments: str | Path) -> Done:
    return run_command(*arguments, data=lab.data)


def test_a_dataset_is_sealed_by_a_command(lab: LabData, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "set")
    before = (path / "test.jsonl").read_bytes()
    done = command(lab, "dataset", "seal", path)
    assert done.status == 0 and "sealed: test" in done.out, done.err
    assert (
        not (path / "test.jsonl").exists()
        and before[:40] not in (path / "test.sealed").read_bytes()
    )
    assert command(lab, "dataset", "seal", path, "--json").code == (1, "dataset_sealed")
    shown = command(lab, "dataset", "show", path, "--json").document
    assert shown["sealed"] == ["test"] and shown["items"]["test"] == 52
    look = ("dataset", "show", path, "--items", "--split", "test", "--json")
    assert command(lab, *look).code == (1, "dataset_sealed")
    checked = command(lab, "dataset", "check", path, "--json").document
    assert checked["summary"]["sealed"] == ["test"]
    signed = command(lab, "dataset", "sign", path, "--key", lab.key("publisher"))
    assert signed.status == 0
    assert command(lab, "dataset", "import", path, "--json").document["state"] == "verified"


def test_a_gate_shows_its_terms_and_says_why_it_ended(
    lab: LabData, serving: Services, tmp_path: Path
) -> None:
    task, data = add_task(serving, tmp_path / "orders"), add_dataset(serving, tmp_path / "set")
    asked = ("eval", "gate", task, "--data", data, "--as", "publisher", "--floor", "0.5")
    done = command(lab, *asked, "--key", lab.key("publisher"), "--json")
    assert done.status == 1
    assert (
        "publisher specifies: orders" in done.err and "4 left; floors: the whole 50 %" in done.err
    )
    assert done.document["code"] == "candidate_fails"  # no model is loaded here
    shown = command(lab, "eval", "ledger", data)
    assert shown.out.strip() == "test: 52 groups, 4 looks left"
    every = command(lab, "eval", "ledger")
    assert every.out.strip() == f"{data}, test: 52 groups, 4 looks left"
    (listed,) = command(lab, "eval", "list", "--json").document["gates"]
    assert listed["code"] == "candidate_fails"
    told = command(lab, "eval", "show", str(listed["id"]), "--json").document
    assert (told["state"], told["code"]) == ("failed", "candidate_fails")
    row = command(lab, "eval", "list").out.splitlines()[-1].split()
    assert row[1:6] == ["gate", "failed", "-", "-", "-"]
    other = command(lab, *asked, "--key", lab.key("approver-1"), "--json")
    assert other.code == (1, "specifier_not_allowed")
    milder = command(lab, *asked, "--key", lab.key("publisher"), "--margin", "0.2", "--json")
    assert milder.code == (1, "specification_other")
    assert command(lab, *asked[:-1], "much", "--key", lab.key("publisher")).status == 2


def test_people_label_where_the_two_differ(
    lab: LabData, serving: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the guide has it: sealed without what an open split knows; the gate then waits for two
    people.
    """
    monkeypatch.chdir(tmp_path)
    names = {"NAME": "publisher", "FILE": str(lab.key("publisher"))}
    seal, gate_, next_, resume = typed("gate", "appliance dataset seal plant", names)
    path = write_dataset(tmp_path / "plant", split="unlabelled")
    lines = (path / "unlabelled.jsonl").read_text().splitlines()
    of_train = {**json.loads(lines[0]), "group": "train-g0"}
    (path / "unlabelled.jsonl").write_text("\n".join([json.dumps(of_train), *lines[1:]]) + "\n")
    sealed = command(lab, *seal)
    assert "unlabelled: took out 1 item with the group or the text of an open one" in sealed.out
    assert "sealed: unlabelled" in sealed.out and not (path / "unlabelled.jsonl").exists()
    text = FITTED.replace("margin = 0.05", "margin = 0.95")
    task = write_task(tmp_path / "plant-2", text, classifier_json=coefficients("electrical"))
    for kind, directory_ in (("dataset", path), ("task", task)):
        command(lab, kind, "sign", directory_, "--key", lab.key("publisher"))
        command(lab, kind, "import", directory_, "--id", directory_.name)
    approve(serving, "plant", *APPROVERS)
    given = (*gate_, "--margin", "0.9")
    refused = command(lab, *given, "--floor", "0.5", "--json")
    assert refused.code == (1, "specification_invalid")
    alone = [word for word in given if word not in ("--rater", "anna", "ben")]
    assert "two people" in command(lab, *alone).err
    done = command(lab, *given)
    assert done.status == 1 and "anna and ben label, blind, where the two differ" in done.err
    assert "paused The two sides differ on" in done.out
    queue = command(lab, "label", "list", "--json").document["queues"][0]
    assert queue["job"] and queue["name"] == f"gate-{queue['job']}"
    shown = command(lab, "label", "show", queue["name"]).out
    assert f"when all are settled, appliance job resume {queue['job']}" in shown
    done = command(lab, "label", "finish", queue["name"], path, "--json")
    assert done.code == (1, "label_queue_sealed")
    for rater in ("anna", "ben"):
        monkeypatch.setattr(Person, "name", rater)
        for _ in range(queue["items"]):
            item = command(lab, *next_[:-1], queue["name"], "--json").document
            done = command(lab, "label", "set", queue["name"], item["item"], item["labels"][0])
            assert done.status == 0, done.err
    monkeypatch.undo()
    assert command(lab, *resume[:-1], str(queue["job"])).status == 0
    judged = command(lab, "job", "watch", str(queue["job"]))
    assert judged.status == 0, judged.err
    assert command(lab, "label", "list").out.startswith("No label queues.")


def test_a_certificate_moves_by_file(lab: LabData, serving: Services, tmp_path: Path) -> None:
    task, data = add_task(serving, tmp_path / "orders"), add_dataset(serving, tmp_path / "set")
    assert command(lab, "eval", "certificates").out.startswith("No certificates.")
    file = tmp_path / "certificate.json"
    file.write_bytes(made(serving, task, data))
    brought = command(lab, "eval", "import", file, "--json").document
    assert brought["usable"] is True
    assert "yes" in command(lab, "eval", "certificates").out
    out = tmp_path / "again.json"
    assert command(lab, "eval", "export", brought["id"], "--out", out).status == 0
    assert out.read_bytes() == file.read_bytes()
    assert command(lab, "eval", "export", brought["id"], "--out", out).status == 2
    assert command(lab, "eval", "export", "ab" * 32, "--out", tmp_path / "x", "--json").code == (
        1, "evaluation_missing",
    )  # fmt: skip
    key = command(lab, "eval", "key")
    assert "listed as evaluator" in key.out


def files(services: Services) -> LookFiles:
    """Of a gate with the number 7."""
    parts = cast("GateJob", services.jobs.kind("gate")).parts
    return LookFiles(parts.directory / "7", parts.kek())


def test_doubtful_certificates_are_listed_with_what_is_said_today(
    lab: LabData, serving: Services, tmp_path: Path
) -> None:
    task, data = add_task(serving, tmp_path / "orders"), add_dataset(serving, tmp_path / "set")
    assert "No certificate is doubtful" in command(lab, "eval", "certificates", "--doubtful").out
    file, outcomes = tmp_path / "certificate.json", pairs(62)
    file.write_bytes(made(serving, task, data, outcomes))
    command(lab, "eval", "import", file)
    file.write_bytes(made(serving, task, data, outcomes, unnamed=True))
    old = command(lab, "eval", "import", file, "--json").document["id"]
    doubtful = ("eval", "certificates", "--doubtful", "--json")
    (listed,) = command(lab, *doubtful).document["certificates"]
    assert (listed["id"], listed["verdict"], listed["today"]) == (old, "pass", "")
    look = LedgerLook(
        "ab" * 32, 7, task, "", data, "", "test", "publisher", 50_000, 1, certificate=old
    )
    serving.ledger.take(
        look, SplitMarks(frozenset(["cd" * 32]), frozenset()), lambda _look, _number: 1
    )
    write_pairs(files(serving), outcomes)
    (listed,) = command(lab, *doubtful).document["certificates"]
    assert (listed["groups"], listed["today"]) == (62, "underpowered")
    assert "underpowered" in command(lab, "eval", "certificates", "--doubtful").out


def test_outcomes_that_leave_end_the_looks_and_the_command_says_so_first(
    lab: LabData, serving: Services, tmp_path: Path
) -> None:
    marks = SplitMarks(frozenset(["cd" * 32]), frozenset())
    look = LedgerLook("ab" * 32, 7, "orders", "", "set", "", "test", "publisher", 50_000, 1)
    serving.ledger.take(look, marks, lambda _look, _number: 1, FALLING)
    write_pairs(files(serving), pairs(62))
    asked = ("eval", "outcomes", "7", "--out", tmp_path / "o.jsonl")
    refused = command(lab, *asked, "--json")
    assert refused.code == (1, "looks_would_end") and "3 looks left" in refused.out
    assert remaining(serving.ledger.looks(marks)) == FALLING[1:]
    assert not any(e.body.get("action") == "outcomes_read" for e in serving.reader.tail(50))
    assert command(lab, *asked, "--end-looks").status == 0
    assert remaining(serving.ledger.looks(marks)) == ()
    one = ("eval", "outcomes", "7", "--item", "i0001", "--out", tmp_path / "p.json")
    assert command(lab, *one).status == 0  # nothing is left to end
    assert serving.agreement.look().alarms() == []

    database = pysqlite3.dbapi2.connect(str(lab.data / "appliance.db"))
    database.execute("UPDATE looks SET exported = 0")  # by somebody with the file
    database.commit()
    assert remaining(serving.ledger.looks(marks)) == FALLING[1:]
    serving.agreement.look()
    (alarm,) = serving.agreement.look().alarms()
    assert "The look abab" in alarm and "has another exported than entry" in alarm
    assert serving.agreement.settle("uid:0", "edited").alarms() == []
    database.close()
    assert remaining(serving.ledger.looks(marks)) == ()


def test_sealing_takes_out_the_few_items_that_a_look_saw(
    lab: LabData, serving: Services, tmp_path: Path
) -> None:
    """2 of 52 items of another collection are repeats."""
    first = write_dataset(tmp_path / "first", seal=sealing_key(serving))
    sealed = directory.read(first).seal
    assert sealed is not None
    look = LedgerLook("ab" * 32, 7, "orders", "", "first", "", "test", "publisher", 50_000, 1)
    serving.ledger.take(look, sealed.parts["test"].marks, lambda _look, _number: 1, FALLING)
    again = write_dataset(tmp_path / "first-again")
    shutil.copy(write_dataset(tmp_path / "other" / "first") / "test.jsonl", again)
    told = command(lab, "dataset", "seal", again, "--json").document
    assert told["taken_out"] == [] and told["inherits"] == {"test": 1}
    second = write_dataset(tmp_path / "second")
    lines = (second / "test.jsonl").read_text().splitlines()
    repeats = (tmp_path / "other" / "first" / "test.jsonl").read_text().splitlines()[:2]
    renamed = [json.dumps({**json.loads(r), "id": f"r{n}", "group": f"r{n}"})
               for n, r in enumerate(repeats)]  # fmt: skip
    (second / "test.jsonl").write_text("\n".join([*lines[2:], *renamed]) + "\n")
    done = command(lab, "dataset", "seal", second, "--json").document
    assert done["taken_out"] == ["r0", "r1"] and done["items"]["test"] == 50
    found = directory.read(second).seal
    assert found is not None and serving.ledger.looks(found.parts["test"].marks) == []


def test_sealing_warns_of_two_splits_that_share_items(
    lab: LabData, serving: Services, tmp_path: Path
) -> None:
    """3 of 52 items of test stand in certify, too; the control is 2 of them."""
    for count, warned in ((3, True), (2, False)):
        path = write_dataset(tmp_path / f"shared-{count}")
        apart = write_dataset(tmp_path / f"apart-{count}") / "test.jsonl"
        rows = [json.loads(line) for line in apart.read_text().splitlines()[count:]]
        rows += [
            json.loads(line) for line in (path / "test.jsonl").read_text().splitlines()[:count]
        ]
        renamed = [json.dumps({**r, "id": f"c{n}", "group": f"c{n}"}) for n, r in enumerate(rows)]
        (path / "certify.jsonl").write_text("\n".join(renamed) + "\n")
        done = command(lab, "dataset", "seal", path)
        assert ("warning: 6 % of one of certify and test" in done.out) == warned


def test_verifying_needs_no_data_directory(lab: LabData, serving: Services, tmp_path: Path) -> None:
    task, data = add_task(serving, tmp_path / "orders"), add_dataset(serving, tmp_path / "set")
    file, public, lines = (tmp_path / name for name in ("c.json", "e.pub", "o.jsonl"))
    file.write_bytes(made(serving, task, data))
    public.write_bytes(ecdsa.public_pem(evidence.ensure(lab.data).public_key()))
    lines.write_bytes(b"".join(p.line() + b"\n" for p in pairs(400, gained=20)))
    base = ("eval", "verify", file, "--key", public)
    assert "outcomes not seen" in run_command(*base).out
    good = run_command(*base, "--outcomes", lines, "--json").document
    assert good["verdict"] == "pass" and good["outcomes"] is True
    lines.write_bytes(b"".join(p.line() + b"\n" for p in pairs(400, gained=21)))
    bad = run_command(*base, "--outcomes", lines, "--json")
    assert bad.code == (1, "evaluation_inconsistent")
    lines.write_bytes(b"{}")
    assert run_command(*base, "--outcomes", lines, "--json").code == (1, "outcomes_invalid")
    wrong = run_command(*base, "--task", "11" * 32, "--json")
    assert wrong.code == (1, "evaluation_other_task")
    stranger = tmp_path / "s.pub"
    stranger.write_bytes((lab.data / "keys" / "lab" / "publisher.pub").read_bytes())
    other = run_command("eval", "verify", file, "--key", stranger, "--json")
    assert other.code == (1, "evaluator_not_allowed")


def test_a_threshold_that_rose_is_told() -> None:
    given = {"route": "r", "engine": "e", "items": 9, "flips": [], "certificate": "ab" * 32,
             "groups": 8, "change": 0.015, "coverage": 0.53, "coverage_before": 0.63}  # fmt: skip
    told = gate.carried_lines(CertificateCarried.model_validate(given), "{} differ")
    assert told[-1] == "to bear it the threshold rose: 53 % are answered, where 63 % were"
    same = CertificateCarried.model_validate({**given, "coverage": 0.63})
    assert gate.carried_lines(same, "") == told[:2]
    bad = CertificateCarried.model_validate({**given, "certificate": None, "flips": ["i7"]})
    assert gate.carried_lines(bad, "{} differ") == ["1 differ: i7"]


def test_a_verdict_is_told_in_a_line() -> None:
    result = {"verdict": "pass", "answer": "Pass.", "difference": 0.01, "interval": [-0.03, 0.04],
              "margin": 0.05, "groups": 455, "looks_left": 3}  # fmt: skip
    found = evaluation(8, kind="gate", result=result)
    assert gate.summary(found) == ("pass", "-3 to +4", "3")
    assert gate.summary(evaluation(7)) == ("-", "-", "-")
