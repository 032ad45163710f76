"""The verifier of receipts agrees with the appliance, on true and false ones."""

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.api.openai.receipts import _evidence
from appliance.audit.log import AuditLog, Draft
from appliance.audit.proof import check_proof, parse_proof
from appliance.audit.reader import LogReader
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditRefused
from appliance.retrieval import commitments
from appliance.types import Citation, Json
from appliance.wire.openai.receipts import EntryRef, ReceiptResponse
from auditor.verify_receipt import check
from tests.audit.epochs import epochs_log
from tests.audit.logs import ORIGIN, ask, erasure, intent, new_log, open_log, outcome
from tests.audit.test_prover import KEY, OTHER, witnessed
from tests.retrieval.test_citations import passage

PROGRAM = Path(__file__).parents[2] / "auditor" / "verify_receipt.py"
GUARD = [HealthCheck.function_scoped_fixture]


def run(*arguments: str | Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *map(str, arguments)], capture_output=True, text=True
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three epochs, with a request in the last one."""
    directory, _ = epochs_log(tmp_path_factory.mktemp("receipts") / "log")
    with open_log(directory) as opened:
        ask(opened, "newest")
    return directory


@pytest.fixture(scope="module")
def genesis(log: Path) -> str:
    return (log / "genesis.pub").read_text()


def receipt(log: Path, request: str = "newest", *, closed: bool = True) -> dict[str, Any]:
    """The API's answer for a request."""
    reader = LogReader(log)
    intent, outcome = reader.find_request(request, "k1")
    assert outcome is not None
    made = ReceiptResponse(
        request_id=request,
        intent=EntryRef(seq=intent.seq, leaf=intent.leaf.hex()),
        outcome=EntryRef(seq=outcome.seq, leaf=outcome.leaf.hex()) if closed else None,
        proof=reader.proof((outcome if closed else intent).seq).decode(),
        checkpoint=reader.checkpoint(),
    )
    reader.close()
    return made.model_dump()


def refused(document: bytes, key: str, **more: Any) -> str:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)) as caught:
        check(document, key, **more)
    return str(caught.value)


def test_it_imports_the_standard_library_and_nothing_else() -> None:
    tree = ast.parse(PROGRAM.read_text())
    names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)
    assert len(PROGRAM.read_text().splitlines()) < 400  # half an hour


def test_both_agree_on_the_proof_of_every_entry(log: Path, genesis: str) -> None:
    reader = LogReader(log)
    for seq in range(12):
        document = reader.proof(seq)
        ours, theirs = check_proof(document, genesis.encode()), check(document, genesis)
        assert theirs.entry == ours.body and theirs.entry["seq"] == seq
        assert (theirs.head.size, theirs.head.root.hex()) == (ours.size, ours.root)
        assert theirs.leaf == reader.entry(seq).leaf.hex()
    reader.close()


@pytest.mark.parametrize("closed", [True, False])
def test_a_receipt_of_the_api_holds(log: Path, genesis: str, closed: bool) -> None:
    made = receipt(log, closed=closed)
    named = made["outcome"] or made["intent"]
    found = check(json.dumps(made).encode(), genesis, leaf=named["leaf"])
    assert found.entry["request_id"] == "newest"
    assert found.entry["kind"] == ("outcome" if closed else "intent")


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another request": lambda r: r.update(request_id="r1"),
    "another place": lambda r: r["outcome"].update(seq=1),
    "another leaf": lambda r: r["outcome"].update(leaf="ab" * 32),
    "another intent": lambda r: r["intent"].update(seq=1),
    "no outcome": lambda r: r.update(outcome=None),
    "no proof": lambda r: r.pop("proof"),
    "a proof that is no text": lambda r: r.update(proof=7),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_parts_that_do_not_belong_together_are_refused(
    log: Path, genesis: str, change: Callable[[dict[str, Any]], object]
) -> None:
    made = receipt(log)
    change(made)
    refused(json.dumps(made).encode(), genesis)


def test_the_receipt_of_another_answer_is_refused(log: Path, genesis: str) -> None:
    document = json.dumps(receipt(log)).encode()
    assert "another answer" in refused(document, genesis, leaf="ab" * 32)


def test_the_key_of_another_log_is_refused(log: Path, tmp_path: Path) -> None:
    other = new_log(tmp_path / "other")  # of the same name
    key = (other / "genesis.pub").read_text()
    assert key.startswith(f"{ORIGIN}+")
    refused(json.dumps(receipt(log)).encode(), key)
    refused(json.dumps(receipt(log)).encode(), "no key")


def test_a_chain_of_keys_that_is_cut_or_swapped_is_refused(log: Path, genesis: str) -> None:
    reader = LogReader(log)
    proof = parse_proof(reader.proof(8))
    reader.close()
    first, second = proof.handovers
    for chain in ((), (first,), (second,), (second, first), (first, second, second)):
        forged = type(proof)(proof.body, proof.index, proof.path, proof.note, chain)
        refused(forged.encode(), genesis)


@settings(suppress_health_check=GUARD, max_examples=60)
@given(st.data())
def test_no_changed_byte_is_believed(log: Path, genesis: str, data: st.DataObject) -> None:
    reader = LogReader(log)
    document = reader.proof(11)  # whose head has one signature
    reader.close()
    place = data.draw(st.integers(0, len(document) - 1))
    change = data.draw(st.integers(1, 255))
    forged = document[:place] + bytes([document[place] ^ change]) + document[place + 1 :]
    refused(forged, genesis)
    with pytest.raises(AuditRefused):
        check_proof(forged, genesis.encode())


@settings(suppress_health_check=GUARD)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_it_is_given_it_says_why(genesis: str, document: bytes) -> None:
    assert refused(document, genesis) is not None


def test_a_witness_stands_in_for_the_chain(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log", 6)
    key, witness = (directory / "genesis.pub").read_text(), KEY.encode()
    with open_log(directory) as log:
        witnessed(log, directory)
        for number in range(3):
            ask(log, f"later-{number}")
            log.new_epoch().result()
        end = log.size
    reader = LogReader(directory)
    under, later = reader.proof(7, KEY), reader.proof(end - 2, KEY)
    reader.close()
    assert parse_proof(later).start is not None  # it begins at what the witness has seen
    for document in (under, later):
        ours = check_proof(document, key.encode(), witness.encode())
        theirs = check(document, key, witness=witness)
        assert (theirs.entry, theirs.witnessed) == (ours.body, ours.witnessed)
        refused(document, key, witness=OTHER.encode())
    assert "--witness" in refused(later, key)


def test_the_command_says_what_holds_in_sentences(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    made = receipt(log)
    path.write_text(json.dumps(made))
    status, lines = run(path, log / "genesis.pub", "--leaf", made["outcome"]["leaf"])
    assert (status, lines[0].split(":")[0]) == (0, "The receipt holds")
    assert "request_id newest" in lines[1] and made["outcome"]["leaf"] in lines[2]
    made["outcome"]["seq"] = 1
    path.write_text(json.dumps(made))
    status, lines = run(path, log / "genesis.pub")
    assert (status, len(lines)) == (1, 1)
    assert lines[0].startswith("The receipt does not hold: ") and lines[0].endswith(".")
    assert run(tmp_path / "none", log / "genesis.pub")[0] == 1
    path.write_text(json.dumps({"proof": receipt(log)["proof"]}))
    assert run(path, log / "genesis.pub") == (
        1,
        ["The receipt does not hold: 'intent' is missing."],
    )


SALARY = "The salary of Zq Kanari is 61000 a year."


def cited(log: AuditLog) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leave a search and an answer that cites; the app's copy of each."""
    found, nonce = [passage(1, SALARY)], commitments.fresh()
    said = SALARY[:30].encode()
    one = Citation(
        1, found[0].id, "a.txt", "", 0, 100, 100 + len(said), "f" * 64,
        hashlib.sha256(said).hexdigest(), said.decode(), 0, 9,
    )  # fmt: skip
    opens = {commitments.TEXT: commitments.text(nonce, found)}
    listed: dict[str, Json] = {"passages": commitments.passages(nonce, found)}
    asked = intent("cites")
    retrieved: dict[str, Json] = {"retrieved": {"collection": "c", **listed}}
    (begun,) = log.append(Draft("intent", {**asked.fields, **retrieved}, opens)).result()
    ended = outcome(begun.seq, "cites")
    marks: dict[str, Json] = {"citations": [commitments.citation(nonce, one)]}
    log.append(Draft("outcome", {**ended.fields, **marks}, ended.contents)).result()
    fields: dict[str, Json] = {
        "request_id": "seeks", "key_id": "k1", "collection": "c", **listed
    }  # fmt: skip
    log.append(Draft("search", fields, opens)).result()
    shown = {"id": found[0].id, "sha256": found[0].sha256, "text": SALARY}
    return {"citations": [vars(one)], "nonce": nonce}, {"data": [shown], "nonce": nonce}


def receipt_of(log: Path, request: str) -> dict[str, Any]:
    """The API's answer, evidence included."""
    reader = LogReader(log)
    first, last = reader.find_request(request, "k1")
    made = ReceiptResponse(
        request_id=request,
        intent=EntryRef(seq=first.seq, leaf=first.leaf.hex()),
        outcome=EntryRef(seq=last.seq, leaf=last.leaf.hex()) if last else None,
        proof=reader.proof((last or first).seq).decode(),
        checkpoint=reader.checkpoint(),
        evidence=_evidence(reader, first),
    )
    reader.close()
    return made.model_dump()


def test_a_citation_verifies_offline_until_it_is_erased(tmp_path: Path) -> None:
    """Meanwhile nobody finds the salary by its digest."""
    directory = new_log(tmp_path / "log")
    with open_log(directory) as opened:
        answer, search = cited(opened)
        for number in range(2):
            for request, got in (("cites", answer), ("seeks", search)):
                told = receipt_of(directory, request)
                for name, value in (
                    ("receipt", told),
                    ("answer", got),
                    ("bare", {**got, "nonce": ""}),
                ):
                    (tmp_path / name).write_text(json.dumps(value))
                known = (tmp_path / "receipt", directory / "genesis.pub", "--cited")
                status, lines = run(*known, tmp_path / "answer")
                assert status == 0 and "commits to what the answer cites: 1." in lines[-1]
                assert ("erased" in lines[-1]) is bool(number)
                status, lines = run(*known, tmp_path / "bare")
                if number:  # the appliance cannot help any more
                    assert (status, told["evidence"]) == (1, {"state": "erased", "nonce": None})
                    assert "the nonce of its citations is erased" in lines[-1]
                else:
                    assert status == 0 and told["evidence"]["state"] == "kept"
                changed = json.loads(
                    json.dumps(got).replace("61000", "62000").replace("100", "101")
                )
                (tmp_path / "bare").write_text(json.dumps(changed))
                assert run(*known, tmp_path / "bare")[0] == 1
            if not number:
                reader = LogReader(directory)
                for request in ("cites", "seeks"):
                    opened.append(erasure(reader, request, "uid:0", "asked")).result()
                reader.close()
    assert verify_log(directory).ok


def test_a_list_of_all_salaries_recovers_nothing_from_the_log(tmp_path: Path) -> None:
    """The log held SHA-256 of a passage, and all salaries are soon tried."""
    directory = new_log(tmp_path / "log")
    with open_log(directory) as opened:
        answer, _ = cited(opened)
    reader = LogReader(directory)
    bodies = " ".join(entry.raw.decode() for entry in reader.tail(20))
    reader.close()
    tried = {str(number): SALARY.replace("61000", str(number)) for number in range(60_000, 62_001)}
    for text in tried.values():
        for said in (text, text[:30], json.dumps(text)):
            digest = hashlib.sha256(said.encode()).hexdigest()
            assert digest not in bodies and digest[:16] not in bodies
    one = Citation(**answer["citations"][0])
    assert (
        commitments.citation(answer["nonce"], one) in bodies
    )  # the control: with the nonce it opens
    assert commitments.citation("00" * 32, one) not in bodies


def test_a_receipt_of_an_older_log_holds_and_its_citations_cannot_be_checked(
    log: Path, tmp_path: Path
) -> None:
    told = receipt(log)
    (tmp_path / "receipt").write_text(json.dumps(told))
    (tmp_path / "answer").write_text(json.dumps({"citations": [], "nonce": "00"}))
    known = (tmp_path / "receipt", log / "genesis.pub")
    assert run(*known)[0] == 0
    status, lines = run(*known, "--cited", tmp_path / "answer")
    assert status == 1 and "as older ones do" in lines[-1]
