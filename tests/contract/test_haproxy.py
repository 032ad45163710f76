"""HAProxy of Debian before three real appliances: one key, two approvals, one of them killed, all
of them upgraded in turn, and a person's certificate that is revoked.
"""

import functools
import shutil
import signal
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from appliance.app import Services
from tests.peers.cables import load_approved, ready
from tests.peers.site_servers import (
    HAPROXY,
    SiteServer,
    balanced,
    of_connections,
    servers,
    until,
)
from tests.people.cards import Cards
from tests.site import MODEL, approve, signed_model
from tests.smol import quiet

PAUSE_S = 0.03
"""Of a client after each answer: in a request or soon in one, whatever happens."""

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed"),
]


def test_three_appliances_behind_a_balancer(tmp_path: Path, narrow_path: Path) -> None:
    artifact = signed_model(tmp_path, narrow_path)

    def prepare(name: str, services: Services) -> None:
        services.lifecycle.import_model("uid:0", artifact, None, quiet)
        if name == "a":
            approve(services, MODEL, "Alice")
        if name == "b":
            approve(services, MODEL, "Bob")

    with servers(tmp_path, "abc", prepare) as found:
        a, b, c = found.values()
        for one in found.values():
            load_approved(one)
        made = a.command("key", "new", "crm", "--any-model")
        head = {"authorization": f"Bearer {made['secret']}"}
        with (
            balanced([a, b, c], tmp_path) as url,
            httpx.Client(base_url=url, headers=head, verify=a.trust, timeout=60) as client,
        ):

            def ask(with_: httpx.Client = client) -> httpx.Response:
                return with_.post(
                    "/v1/completions", json={"model": MODEL, "prompt": "a", "max_tokens": 1}
                )

            until(lambda: all(one.admits(made["secret"]) for one in found.values()))
            until(lambda: ask().status_code == 200)
            ids = [reply.headers["x-request-id"] for reply in (ask() for _ in range(6))]
            receipts = [client.get(f"/v1/receipts/{each}") for each in ids]
            assert {reply.status_code for reply in receipts} == {200}
            origins = {reply.json()["checkpoint"].split("\n")[0] for reply in receipts}
            assert len(origins) == 3  # each answered some, and any gives the receipt
            for one in found.values():  # whoever is asked, not the balancer's choice only
                direct = f"{one.url}/v1/receipts/{ids[0]}"
                reply = httpx.get(direct, headers=head, verify=one.trust, timeout=60)
                assert reply.json() | {"proof": "", "checkpoint": ""} == receipts[0].json() | {
                    "proof": "", "checkpoint": "",
                }  # fmt: skip
            failed = under_requests(url, head, a, lambda: b.end(signal.SIGKILL))
            assert len(failed) <= 4, failed  # what was sent to it, one of each client
            assert all(ask().status_code == 200 for _ in range(6))
            b.start()
            until(functools.partial(ready, b))

            def one_by_one() -> None:
                for one in found.values():
                    one.end(signal.SIGTERM)
                    one.start()
                    until(functools.partial(ready, one))

            assert under_requests(url, head, a, one_by_one) == []
            c.command("key", "revoke", made["id"])
            until(lambda: not any(one.admits(made["secret"]) for one in found.values()))
            assert {ask().status_code for _ in range(6)} == {401}


def test_a_revoked_person_is_refused_by_each(tmp_path: Path) -> None:
    cards = Cards(tmp_path / "cards", now=datetime.now(UTC))
    table = '[certificates.card]\nca = "tls/card-ca.pem"\ncrls = ["tls/card.crl"]'

    def give_list(data: Path) -> None:
        shutil.copyfile(cards.at / "crl", data / "tls" / "new")
        (data / "tls" / "new").rename(data / "tls" / "card.crl")

    def prepare(name: str, services: Services) -> None:
        shutil.copyfile(cards.at / "ca.pem", services.data / "tls" / "card-ca.pem")
        give_list(services.data)

    with servers(tmp_path, "abc", prepare, audit=table) as found:
        members = list(found.values())
        made = members[0].command("key", "new", "crm", "--any-model", "--person")
        until(lambda: all(one.admits(made["secret"]) for one in members))

        def shows(card: x509.Certificate | None) -> ssl.SSLContext:
            shown = ssl.create_default_context()
            for one in members:
                shown.load_verify_locations(one.ca)
            if card is not None:
                shown.load_cert_chain(*cards.keep(card))
            return shown

        head = {"authorization": f"Bearer {made['secret']}"}
        body = {"model": "none", "prompt": "a"}

        def code(url: str, verify: ssl.SSLContext) -> str:
            with httpx.Client(headers=head, verify=verify, timeout=60) as client:
                return told(client, url)

        def told(client: httpx.Client, url: str) -> str:
            return str(client.post(f"{url}/v1/completions", json=body).json()["error"]["code"])

        with balanced(members, tmp_path, of_connections) as url:
            urls = [url] * 6 + [one.url for one in members]
            gone = cards.card()
            ann, nobody, bea = shows(gone), shows(None), shows(cards.card())
            assert {code(each, nobody) for each in urls} == {"person_required"}
            assert {code(each, ann) for each in urls} == {"model_not_found"}
            with httpx.Client(headers=head, verify=ann, timeout=60) as kept:
                assert told(kept, url) == "model_not_found"
                cards.revoke(gone.serial_number)
                for one in members:
                    give_list(one.data)
                revoked = "person_certificate_revoked"
                until(lambda: all(code(one.url, ann) == revoked for one in members))
                assert {code(each, ann) for each in urls} == {told(kept, url)} == {revoked}
            assert {code(each, bea) for each in urls} == {"model_not_found"}


def under_requests(
    url: str, head: dict[str, str], a: SiteServer, change: Callable[[], None]
) -> list[str]:
    """Change something while four clients ask; how requests failed."""
    failed: list[str] = []
    counts = [0] * 4
    stop = threading.Event()

    def asks(number: int) -> None:
        with httpx.Client(base_url=url, headers=head, verify=a.trust, timeout=60) as client:
            while not stop.wait(PAUSE_S):
                try:
                    reply = client.post(
                        "/v1/completions", json={"model": MODEL, "prompt": "a", "max_tokens": 4}
                    )
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                else:
                    if reply.status_code != 200:
                        failed.append(f"{reply.status_code} {reply.text[:200]}")
                counts[number] += 1

    threads = [threading.Thread(target=asks, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: min(counts) >= 3)
    change()
    then = list(counts)
    until(lambda: all(now >= before + 4 for now, before in zip(counts, then, strict=True)))
    stop.set()
    for thread in threads:
        thread.join()
    return failed
