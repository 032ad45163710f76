"""Three real servers of a site: a gate counts on all, and an erased text is on none."""

import contextlib
import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.app import Services
from appliance.audit import content
from appliance.audit.files import LogFiles
from appliance.audit.reader import LogReader
from appliance.datasets.ledger import LOOKS
from appliance.tasks.classifiers import document
from appliance.tasks.classifiers.linear import fit_linear
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from appliance.trust.policy.members import SiteMember
from tests.audit.test_eraser import wrapped
from tests.evals.orders import FITTED, WORDS, write_task
from tests.evals.sealed import sealing_key, write_dataset
from tests.peers.site_servers import SiteServer, servers, until
from tests.site import MODEL, approve
from tests.smol import quiet
from tests.trust import policies

ASKED, SAID = "zq the prompt's canary sings at seven", "zq the answer's canary sleeps at nine"
TASK, DATASET = "sorting", "sealed"

pytestmark = [pytest.mark.model, pytest.mark.long]


def evaluating(policy: dict[str, Any], members: list[SiteMember]) -> None:
    """Each of them may certify."""
    policy["models"] += [{"id": TASK}, {"id": DATASET}]
    for one in members:
        pem = ecdsa.public_pem(one.key).decode()
        policy["keys"][one.hint] = {"pem": pem, "person": f"evidence of {one.name}"}
    hints = [one.hint for one in members]
    policy["roles"]["evaluator"] = {"keys": hints, "threshold": 1}


def wrong() -> str:
    """A classifier that takes each label for the other."""
    swapped = dict(zip(WORDS, reversed(WORDS.values()), strict=True))
    pairs = [(f"replace {word}", label) for label, words in swapped.items() for word in words]
    return document.write(fit_linear([t for t, _ in pairs], [n for _, n in pairs])).decode()


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, narrow_path: Path
) -> Iterator[dict[str, SiteServer]]:
    root = tmp_path_factory.mktemp("site")

    def imported(services: Services, path: Path, *people: str) -> None:
        signing.sign_directory(path, ecdsa.private_pem(policies.PUBLISHER), quiet)
        services.lifecycle.import_model("uid:0", path, None, quiet)
        approve(services, path.name, *people)

    def prepare(name: str, services: Services) -> None:
        made = root / name
        imported(services, write_task(made / TASK, FITTED, classifier_json=wrong()))
        data = write_dataset(made / DATASET, seal=sealing_key(services))
        imported(services, data, "Alice", "Bob")
        if name == "a":
            (made / MODEL).mkdir()
            shutil.copyfile(narrow_path, made / MODEL / "model.gguf")
            imported(services, made / MODEL, "Alice", "Bob")

    more: dict[str, Any] = {"change": evaluating}
    with servers(root, "abc", prepare, audit='receipt = "mirrored"', **more) as found:
        (root / "paula.pem").write_bytes(ecdsa.private_pem(policies.PUBLISHER))
        yield found
    shutil.rmtree(root)


def rows(one: SiteServer, database: str, asked: str) -> list[Any]:
    place = f"file:{one.data / database}?mode=ro"
    with contextlib.closing(sqlite3.connect(place, uri=True)) as opened:
        return opened.execute(asked).fetchall()


def gate(one: SiteServer) -> str:
    """The verdict of a gate, or the code of its refusal."""
    key = one.data.parent.parent / "paula.pem"
    done = one.run(
        "eval", "gate", TASK, "--data", DATASET, "--as", "Paula", "--key", str(key),
        "--incumbent", "none", "--floor", "0.5",
    )  # fmt: skip
    told = json.loads(done.out)
    return str(told.get("code") or told["verdict"])


def test_four_gates_over_all_and_a_fifth_on_none(site: dict[str, SiteServer]) -> None:
    a, b, c = site.values()
    for one in site.values():
        until(lambda one=one: len(rows(one, "site_looks.db", "SELECT * FROM heard_members")) == 2)  # type: ignore[misc]
    assert gate(a) == "fail"
    ((mine,),) = rows(a, "appliance.db", "SELECT id FROM looks")
    for one in (b, c):
        ((known,),) = rows(one, "site_looks.db", "SELECT id FROM looks")
        assert known.partition("@")[0] == mine
        assert rows(one, "appliance.db", "SELECT id FROM looks") == []
    assert [gate(one) for one in (b, c, b)] == ["fail"] * (LOOKS - 1)
    assert [gate(one) for one in site.values()] == ["looks_spent"] * 3


def test_a_file_is_found_through_any_until_its_appliance_is_gone(
    site: dict[str, SiteServer],
) -> None:
    a, b, c = site.values()
    key, other = (a.command("key", "new", name, "--any-model")["secret"] for name in ("crm", "erp"))
    for one in (b, c):
        until(lambda one=one: one.admits(key) and one.admits(other))  # type: ignore[misc]

    def asked(
        one: SiteServer, secret: str, method: str, path: str, silent: int = 503, **more: Any
    ) -> httpx.Response:
        """Again where another one was too busy to answer, as clients do."""
        found: list[httpx.Response] = []

        def answered() -> bool:
            head = {"authorization": f"Bearer {secret}"}
            address, tls = f"{one.url}{path}", one.trust
            found.append(
                httpx.request(method, address, headers=head, verify=tls, timeout=120, **more)
            )
            return found[-1].status_code != silent

        until(answered)
        return found[-1]

    lines = b'{"custom_id": "1"}\n' * 9_000
    form: Any = {"data": {"purpose": "batch"}, "files": {"file": ("lines.jsonl", lines)}}
    file = asked(a, key, "POST", "/v1/files", **form).json()["id"]
    for one in site.values():
        assert asked(one, key, "GET", f"/v1/files/{file}/content").content == lines
        assert asked(one, other, "GET", f"/v1/files/{file}").status_code == 404
    a.end(signal.SIGKILL)
    try:
        for secret in (key, other):
            gone = asked(b, secret, "GET", f"/v1/files/{file}", silent=404)
            assert (gone.status_code, gone.json()["error"]["code"]) == (503, "member_unreachable")
    finally:
        a.start()
    assert asked(a, key, "GET", f"/v1/files/{file}/content").content == lines
    asked(c, key, "DELETE", f"/v1/files/{file}")
    assert asked(a, key, "GET", f"/v1/files/{file}").status_code == 404


def everything(one: SiteServer) -> bytes:
    """Every byte of its data directory, logs of databases included."""
    held = []
    for path in filter(Path.is_file, one.data.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # the server has replaced or removed it
            held.append(path.read_bytes())
    return b"".join(held)


def test_an_erased_text_is_on_no_member(site: dict[str, SiteServer]) -> None:
    a, b, c = site.values()
    secret = a.command("key", "new", "erasing", "--any-model")["secret"]
    body = {"model": MODEL, "prompt": ASKED, "max_tokens": 64, "guided_choice": [SAID]}
    head = {"authorization": f"Bearer {secret}"}
    reply = httpx.post(
        f"{a.url}/v1/completions", json=body, headers=head, verify=a.trust, timeout=120
    )
    assert reply.status_code == 200 and reply.json()["choices"][0]["text"].strip() == SAID
    request = str(reply.headers["x-request-id"])
    log = a.data / "audit"
    reader = LogReader(log)
    (intent, outcome) = (one for one in reader.tail(50) if one.body.get("request_id") == request)
    reader.close()
    texts = [
        json.dumps(a.command("audit", "show", str(entry.seq), "--content"))
        for entry in (intent, outcome)
    ]
    assert ASKED in texts[0] and SAID in texts[1]  # the control: it can be read
    kek = LogFiles(log).key_encryption_key()
    keys, secrets = [], []
    for entry in (intent, outcome):
        named: Any = entry.body["content"]
        keys.append(wrapped(log, entry.seq))
        secrets.append(content.unwrap(kek, named["key"], keys[-1]))
    sealed = [
        bytes(cipher)
        for (cipher,) in rows(
            a, "audit/log.db",
            f"SELECT ct FROM content WHERE seq IN ({intent.seq}, {outcome.seq})"
            " AND name IN ('prompt', 'completion')",
        )
    ]  # fmt: skip
    assert len(sealed) == 2
    for one in (b, c):
        until(lambda one=one: request.encode() in everything(one))  # type: ignore[misc] # it mirrors
        held = everything(one)
        assert not any(each in held for each in keys + secrets + sealed)
    held = everything(a)
    assert all(each in held for each in keys + sealed)  # the control: the search finds them
    a.command("audit", "erase", "--request", request, "--reason", "asked for")
    for entry in (intent, outcome):
        refused = a.run("audit", "show", str(entry.seq), "--content")
        assert "erased" in refused.out
    for one in site.values():
        held = everything(one)
        gone = (*keys, *secrets, ASKED.encode(), SAID.encode())
        assert not any(each in held for each in gone), one.name
        assert request.encode() in held  # its entries stay
