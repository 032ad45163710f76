"""Routes of the gate: keys for seals, terms, the ledger, certificates."""

from pathlib import Path

import pytest

from appliance.app import Services, initialise, open_services
from appliance.client import AdminClient
from appliance.errors import ApplianceError, Refused
from appliance.evals import judging
from appliance.evals.pairs import ItemPair
from appliance.trust.bytes import evidence
from appliance.trust.statements import evaluation
from appliance.wire.admin import gates as wire
from appliance.wire.admin.gates import PlanWanted
from tests.api.admin.lab import client_of
from tests.evals.gates import circumstances, edited, pairs
from tests.evals.sealed import GROUPS, add_dataset, add_task, envelope, terms
from tests.smol import SMALL

DAY_US = 86_400_000_000


def made(
    services: Services,
    task: str,
    data: str,
    outcomes: list[ItemPair] | None = None,
    *,
    unnamed: bool = False,
) -> bytes:
    """A certificate as the gate signs it, or as older versions did."""
    wanted = terms(services, task, data)
    now = services.clock.wall_us()
    at = circumstances(
        engine=services.store.evaluations.engine, issued_us=now, valid_until_us=now + DAY_US
    )
    found = judging.judge(wanted, outcomes or pairs(400, gained=20), unnamed=unnamed)
    key = evidence.ensure(services.data)
    return evaluation.sign(envelope(services, wanted), wanted, found, at, key)


def code(action: object) -> str:
    with pytest.raises(ApplianceError) as caught:
        action()  # type: ignore[operator]
    return caught.value.code


def actions(services: Services) -> list[str]:
    return [str(e.body.get("action")) for e in services.reader.tail(50)]


def opened(tmp_path: Path) -> Path:
    initialise(tmp_path / "data", "lab", evaluated=True)
    return tmp_path / "data"


def test_terms_ledger_and_certificates(tmp_path: Path) -> None:
    with open_services(opened(tmp_path), config=SMALL) as services:
        task = add_task(services, tmp_path / "orders")
        data = add_dataset(services, tmp_path / "set")
        with client_of(services) as client:
            _plan(client, task, data)
            _certificates(services, client, task, data)


def _plan(client: AdminClient, task: str, data: str) -> None:
    plan = client.call(wire.GATE_PLAN, PlanWanted.of(task=task, dataset=data))
    assert (plan.incumbent, plan.groups, plan.looks_left) == ("majority", GROUPS, 4)
    assert plan.margin_micros == 50_000 and plan.alpha_micros == 50_000
    other = client.call(wire.GATE_PLAN, PlanWanted.of(task=task, dataset=data, incumbent=task))
    assert other.incumbent_digest == plan.task_digest
    assert (
        code(lambda: client.call(wire.GATE_PLAN, PlanWanted.of(task=data, dataset=data)))
        == "artifact_kind"
    )
    wanted = PlanWanted.of(task=task, dataset=task)
    assert code(lambda: client.call(wire.GATE_PLAN, wanted)) == "dataset_not_sealed"
    (split,) = client.call(wire.LEDGER, dataset=data).splits
    assert (split.split, split.left, split.looks) == ("test", 4, [])
    assert code(lambda: client.call(wire.LEDGER, dataset=task)) == "dataset_not_sealed"
    (every,) = client.call(wire.LEDGERS).ledgers
    assert every == client.call(wire.LEDGER, dataset=data)


def _certificates(services: Services, client: AdminClient, task: str, data: str) -> None:
    key = client.call(wire.EVIDENCE_KEY)
    assert key.listed and key.pem.startswith("-----BEGIN PUBLIC KEY-----")
    assert client.call(wire.CERTIFICATES).certificates == []
    good = made(services, task, data)
    bad = edited(good, lambda s: s["predicate"]["evaluation"].update(lowMicros=0))
    before = actions(services)
    assert (
        code(
            lambda: client.call(
                wire.CERTIFICATE_KEEP,
                wire.CertificateUpload.of(envelope=bad.decode(errors="replace")),
            )
        )
        == "evaluation_signature"
    )
    assert actions(services) == before and client.call(wire.CERTIFICATES).certificates == []
    kept = client.call(
        wire.CERTIFICATE_KEEP, wire.CertificateUpload.of(envelope=good.decode(errors="replace"))
    )
    assert kept.usable and kept.verdict == "pass" and actions(services)[-1] == "certificate_kept"
    (listed,) = client.call(wire.CERTIFICATES).certificates
    assert listed.id == kept.id and listed.envelope == ""
    assert client.call(wire.CERTIFICATE, certificate_id=kept.id).envelope.encode() == good
    assert (
        code(lambda: client.call(wire.CERTIFICATE, certificate_id="ab" * 32))
        == "evaluation_missing"
    )


def test_each_sealing_key_is_another_and_recorded(tmp_path: Path) -> None:
    with open_services(opened(tmp_path), config=SMALL) as services, client_of(services) as client:
        one, other = client.call(wire.SEALING_KEY), client.call(wire.SEALING_KEY)
        assert one.id != other.id and one.key != other.key and one.kek == other.kek
        assert actions(services).count("sealing_key") == 2


def test_outcomes_of_no_gate_are_missing(tmp_path: Path) -> None:
    with open_services(opened(tmp_path), config=SMALL) as services, client_of(services) as client:
        with pytest.raises(Refused) as caught:
            client.call(wire.OUTCOMES, job_id=7)
        assert caught.value.code == "report_missing"
        assert "outcomes_read" not in actions(services)
