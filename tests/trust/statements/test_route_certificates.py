"""The kept certificates of routes, and their suspension."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.db import open_database
from appliance.errors import PolicyRefused
from appliance.trust.statements import route, route_certificates
from appliance.trust.statements.route_certificates import RouteCertificates
from tests.evals.gates import DAY_US, EVALUATOR, NOW_US, policy
from tests.trust.statements.test_route import ENGINE, TERMS, at, certificate, found

ROUTE = "1" * 64


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[RouteCertificates]:
    engine = open_database(tmp_path / "a.db", [route_certificates.TABLES])
    yield RouteCertificates(engine, lambda: NOW_US + DAY_US, lambda: ENGINE)
    engine.dispose()


def code(kept: RouteCertificates, digest: str = ROUTE) -> str:
    with pytest.raises(PolicyRefused) as caught:
        kept.valid(digest, TERMS, policy())
    return caught.value.code


def test_without_a_certificate_nothing_answers(kept: RouteCertificates) -> None:
    assert code(kept) == "route_not_certified"


def test_what_is_kept_twice_is_kept_once(kept: RouteCertificates) -> None:
    envelope = certificate()
    first = kept.add(envelope, policy())
    assert kept.add(envelope, policy()) == first
    assert kept.of(ROUTE, policy()) == [first]
    assert kept.valid(ROUTE, TERMS, policy()) == first
    assert code(kept, "9" * 64) == "route_not_certified"


def test_a_suspended_certificate_never_counts_again(kept: RouteCertificates) -> None:
    envelope = certificate()
    first = kept.add(envelope, policy())
    kept.suspend(first.id, "too many errors")
    assert code(kept) == "route_suspended"
    kept.add(envelope, policy())
    assert code(kept) == "route_suspended"
    later = kept.add(certificate(how=at(issued_us=NOW_US + 1)), policy())
    assert kept.valid(ROUTE, TERMS, policy()) == later


def test_a_later_calibration_that_certified_nothing_takes_the_place(
    kept: RouteCertificates,
) -> None:
    kept.add(certificate(), policy())
    none = found(reason="underpowered", threshold_micros=None)
    kept.add(certificate(what=none, how=at(issued_us=NOW_US + 1)), policy())
    assert code(kept) == "route_not_certified"


def test_a_certificate_that_does_not_verify_is_not_kept(kept: RouteCertificates) -> None:
    with pytest.raises(PolicyRefused):
        kept.add(certificate(what=found(limit_micros=60_000)), policy())
    assert kept.of(ROUTE, policy()) == []


def test_a_certificate_whose_signer_was_revoked_does_not_count(kept: RouteCertificates) -> None:
    first = kept.add(certificate(), policy())
    revoked = policy(lambda d: d["revoked"]["keys"].append(first.key))
    assert kept.of(ROUTE, revoked) == []


def test_what_was_certified_in_a_year_is_counted_once(kept: RouteCertificates) -> None:
    envelope = certificate()
    first = kept.add(envelope, policy())
    kept.add(route.carry(envelope, first, "other engine", {}, NOW_US + 1, EVALUATOR), policy())
    none = found(reason="underpowered", threshold_micros=None)
    kept.add(certificate(what=none, how=at(issued_us=NOW_US + 2)), policy())
    kept.suspend(first.id, "it may still be the false one")
    assert kept.certified_since(NOW_US, policy()) == [first]
    assert kept.certified_since(NOW_US + 1, policy()) == []
