"""Items out of the audit log: consent, masking, what was erased, and the record of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.audit.entry import Draft
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.datasets.directory import write
from appliance.errors import ApplianceError
from appliance.evals.outcomes import Outcome
from appliance.evals.store import OutcomeFiles
from appliance.trust.artifacts.signing import sign_directory
from appliance.types import ContentMode, Json
from appliance.wire.admin.datasets import CAPTURE, Capture
from appliance.wire.admin.keys import KEY_CREATE, KeyCreate
from appliance.wire.admin.models import ERASE, Erasure
from tests.api.admin.lab import LabData, import_model
from tests.cli.conftest import run_command
from tests.datasets.examples import dataset, orders
from tests.smol import quiet


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ApplianceError) as caught:
        call()
    return caught.value.code


def ask(
    services: Services,
    key_id: str,
    request_id: str,
    text: str,
    content: ContentMode | None = None,
) -> int:
    prompt = json.dumps([{"role": "user", "content": text}]).encode()
    draft = Draft(
        "intent",
        {"request_id": request_id, "key_id": key_id, "model": "m"},
        {"prompt": prompt},
        content,
    )
    (begun,) = services.audit.append(draft).result()
    return begun.seq


@pytest.fixture
def agreed(client: AdminClient) -> str:
    return client.call(KEY_CREATE, KeyCreate.of(name="plant", examples=True)).id


def test_prompts_become_unlabelled_items(
    services: Services, client: AdminClient, agreed: str
) -> None:
    for number in range(3):
        ask(services, agreed, f"r{number}", f"hose {number} leaks, call anna@werk.example")
    ask(services, "another", "r9", "not ours")
    found = client.call(CAPTURE, Capture.of(key_id=agreed))
    assert [item["id"] for item in found.items] == ["r0", "r1", "r2"]
    assert all("expected" not in item for item in found.items)
    assert found.items[0]["input"] == {"text": "hose 0 leaks, call [E-MAIL]"}
    assert found.items[0]["group"].startswith("plant 20")
    assert "anna" not in found.model_dump_json()  # a canary of personal data
    whole = client.call(CAPTURE, Capture.of(key_id=agreed, mask=False))
    assert "anna@werk.example" in whole.items[0]["input"]["text"]


def answered(services: Services, key_id: str, request_id: str, text: str) -> int:
    intent, _ = services.reader.find_request(request_id, key_id)
    done: dict[str, Json] = {"intent": intent.seq, "request_id": request_id, "status": "ok"}
    draft = Draft("outcome", done, {"completion": text.encode()})
    (receipt,) = services.audit.append(draft).result()
    return receipt.seq


def test_answers_come_beside_the_items_masked_and_their_reading_is_recorded(
    services: Services, client: AdminClient, agreed: str
) -> None:
    for name in ("told", "open", "gone"):
        ask(services, agreed, name, "hose leaks")
    number = answered(services, agreed, "told", "hydraulics, says anna@werk.example")
    answered(services, agreed, "gone", "erase me")
    client.call(ERASE, Erasure.of(request_id="gone", reason="asked for"))
    assert client.call(CAPTURE, Capture.of(key_id=agreed)).answers == {}
    found = client.call(CAPTURE, Capture.of(key_id=agreed, answers=True))
    assert found.answers == {"told": "hydraulics, says [E-MAIL]"}
    assert [item["id"] for item in found.items] == ["told", "open"]
    assert "hydraulics" not in json.dumps(found.items)  # raters see the items
    newest = services.reader.search(Query(kind="admin", newest_first=True, limit=1)).entries[0]
    assert number in list(newest.body["entries"])  # type: ignore[arg-type]


def test_without_consent_nothing_is_read(services: Services, client: AdminClient) -> None:
    key = client.call(KEY_CREATE, KeyCreate.of(name="private"))
    assert not key.examples
    ask(services, key.id, "r", "secret")
    before = services.reader.size
    assert code_of(lambda: client.call(CAPTURE, Capture.of(key_id=key.id))) == "examples_not_agreed"
    assert services.reader.size == before
    assert (
        code_of(lambda: client.call(CAPTURE, Capture.of(key_id="nosuch"))) != "examples_not_agreed"
    )


def test_what_was_erased_or_not_kept_never_comes_back(
    services: Services, client: AdminClient, agreed: str
) -> None:
    ask(services, agreed, "kept", "hose leaks")
    begun = ask(services, agreed, "gone", "erase me")
    ended: dict[str, Json] = {"intent": begun, "request_id": "gone", "status": "ok"}
    services.audit.append(Draft("outcome", ended)).result()
    ask(services, agreed, "never", "not kept", content="commit-only")
    client.call(ERASE, Erasure.of(request_id="gone", reason="asked for"))
    found = client.call(CAPTURE, Capture.of(key_id=agreed))
    assert [item["id"] for item in found.items] == ["kept"]
    assert found.left_out == 2
    assert "erase me" not in found.model_dump_json()


def test_the_reading_is_recorded(services: Services, client: AdminClient, agreed: str) -> None:
    ask(services, agreed, "r", "hose leaks")
    client.call(CAPTURE, Capture.of(key_id=agreed))
    newest = services.reader.search(Query(kind="admin", newest_first=True, limit=1)).entries[0]
    assert (newest.body["action"], newest.body["purpose"]) == ("content_read", "dataset")
    assert newest.body["key_id"] == agreed


def test_pages(services: Services, client: AdminClient, agreed: str) -> None:
    for number in range(5):
        ask(services, agreed, f"r{number}", f"hose {number}")
    ids: list[str] = []
    after = None
    while True:
        page = client.call(CAPTURE, Capture.of(key_id=agreed, limit=2, after=after))
        ids += [item["id"] for item in page.items]
        if (after := page.next_after) is None:
            break
    assert ids == [f"r{number}" for number in range(5)]
    assert not client.call(CAPTURE, Capture.of(key_id=agreed, since="2099-01-01")).items


def test_the_consent_is_in_the_log(services: Services, agreed: str) -> None:
    made = services.reader.search(Query(kind="admin", newest_first=True, limit=1)).entries[0]
    assert (made.body["action"], made.body["examples"]) == ("key_create", True)
    assert services.keys.get(agreed).examples


def test_from_a_key_to_a_dataset_by_commands(lab: LabData, tmp_path: Path) -> None:
    key = run_command("key", "create", "plant", "--examples", "--json", data=lab.data).document
    with open_services(lab.data) as services:
        for number in range(3):
            ask(services, key["id"], f"r{number}", f"hose {number} leaks")
    out = tmp_path / "captured"
    done = run_command("dataset", "capture", out, "--key", key["id"], "--json", data=lab.data)
    assert done.status == 0, done.err
    assert done.document["items"] == {"unlabelled": 3}
    assert (out / "unlabelled.jsonl").read_text().count("hose") == 3
    told = tmp_path / "answers.json"
    again = run_command(
        "dataset", "capture", tmp_path / "again", "--key", key["id"], "--answers", told,
        data=lab.data,
    )  # fmt: skip
    assert again.status == 0 and json.loads(told.read_text()) == {}
    other = run_command("key", "create", "shy", "--json", data=lab.data).document
    none = run_command(
        "dataset", "capture", tmp_path / "no", "--key", other["id"], "--json", data=lab.data
    )
    assert none.code == (1, "examples_not_agreed")
    assert not (tmp_path / "no").exists()


def test_a_removed_item_tells_what_saw_it(lab: LabData, tmp_path: Path) -> None:
    made = dataset(orders(60))
    path = tmp_path / "orders"
    write(path, made)
    saw = next(iter(made.splits["dev"]))
    outcome = Outcome(saw.id, saw.group, saw.label, saw.label, 1_000_000, 10)
    OutcomeFiles(lab.data / "evaluations" / "7").append(0, [outcome])
    command = ("dataset", "remove-item", path, saw.id, "--seen-in", lab.data, "--json")
    done = run_command(*command)
    assert done.status == 0, done.err
    (told,) = done.document["seen"]
    assert (told["item"], told["evaluation"], told["how"]) == (saw.id, 7, "asked")
    other = made.splits["dev"][1].id
    unseen = run_command("dataset", "remove-item", path, other, "--seen-in", lab.data)
    assert "no evaluation saw them" in unseen.out


def test_an_item_stays_when_nobody_can_tell_what_saw_it(tmp_path: Path) -> None:
    path = tmp_path / "orders"
    write(path, dataset(orders(30)))
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    done = run_command(
        "dataset", "remove-item", path, "w00001", "--seen-in", tmp_path / "none", "--json"
    )
    assert done.status != 0
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_an_erasure_names_the_stored_datasets_that_have_the_item(
    lab: LabData, client: AdminClient, tmp_path: Path
) -> None:
    """Their files are signed, so that nothing can be taken out of them."""
    items = orders(60)
    for name, part in (("with-it", items), ("without", items[1:])):
        write(tmp_path / name, dataset(part))
        sign_directory(tmp_path / name, lab.key("publisher").read_bytes(), quiet)
        import_model(client, tmp_path / name, name)
    assert client.call(ERASE, Erasure.of(request_id=items[0].id, reason="asked for")).datasets == [
        "with-it"
    ]
