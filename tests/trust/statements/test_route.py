"""Certificates of routes: their signatures, and everything that is refused under any signature."""

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from appliance.errors import PolicyRefused
from appliance.trust.bytes import dsse, ecdsa
from appliance.trust.statements import route
from appliance.trust.statements.route import (
    ACCEPTED,
    Calibrated,
    CalibrationFound,
    Circumstances,
    RouteSpecification,
)
from appliance.trust.statements.statement import PAYLOAD_TYPE, Signed
from tests.evals.gates import DAY_US, EVALUATOR, NOW_US, STRANGER, policy
from tests.trust import policies

TERMS = {"error_micros": 50_000, "delta_micros": 50_000, "margin_micros": 50_000}
ENGINE = "llama.cpp 1"


def wanted(**changes: Any) -> RouteSpecification:
    given: dict[str, Any] = {
        "route": "orders", "route_digest": "1" * 64, "dataset": "data", "dataset_digest": "2" * 64,
        "split": "certify", "small": "small", "small_digest": "3" * 64, "larger": "large",
        "larger_digest": "4" * 64, **TERMS, "looks": 4, "seed": "0123456789abcdef",
        "name": "Paula", "time": "2026-09-21T00:00:00Z",
    }  # fmt: skip
    return RouteSpecification(**(given | changes))


def found(**changes: Any) -> CalibrationFound:
    given: dict[str, Any] = {
        "reason": "", "threshold_micros": 900_000, "coverage_micros": 700_000,
        "limit_micros": 50_000, "groups": 660, "groups_needed": None,
        "function": {"kind": "logistic", "weights": {"top": 1.0}, "intercept": 0.25},
        "doubtful": "larger", "low_micros": -10_000, "merkle_root": "5" * 64,
    }  # fmt: skip
    return CalibrationFound(**(given | changes))


def at(**changes: Any) -> Circumstances:
    given: dict[str, Any] = {
        "engine": ENGINE, "identity": "attested", "look": 1, "log": "appliance.lab/0011",
        "entry": 7, "issued_us": NOW_US, "valid_until_us": NOW_US + 365 * DAY_US,
    }  # fmt: skip
    return Circumstances(**(given | changes))


def certificate(
    terms: RouteSpecification | None = None,
    what: CalibrationFound | None = None,
    how: Circumstances | None = None,
    key: ecdsa.PrivateKey = EVALUATOR,
    person: ecdsa.PrivateKey = policies.PUBLISHER,
) -> bytes:
    envelope = (terms or wanted()).sign(ecdsa.private_pem(person))
    signed = Signed(terms or wanted(), "", "", envelope)
    return route.certify(signed, what or found(), how or at(), key)


def test_a_certificate_of_an_older_version_names_no_interval_and_has_no_room() -> None:
    older = msgspec.to_builtins(found())
    del older["interval"], older["company"], older["reach_micros"]
    read = msgspec.convert(older, CalibrationFound)
    assert (read.interval, read.company, read.reach_micros) == ("", False, None)


def test_what_was_signed_is_read_again() -> None:
    read = route.verify(certificate(), policy())
    assert (read.wanted, read.found, read.circumstances) == (wanted(), found(), at())
    assert read.found.certified
    route.check_use(read, "1" * 64, TERMS, ENGINE, NOW_US, 30)


def test_what_is_carried_over_says_the_same_of_another_engine() -> None:
    first = route.verify(certificate(), policy())
    made = route.carry(certificate(), first, "llama.cpp 2", {}, NOW_US + 1, EVALUATOR)
    other = route.verify(made, policy())
    assert (other.wanted, other.found, other.origin) == (first.wanted, first.found, first.origin)
    assert other.circumstances == at(
        engine="llama.cpp 2", issued_us=NOW_US + 1, carried_from=first.id
    )
    route.check_use(other, "1" * 64, TERMS, "llama.cpp 2", NOW_US, 30)
    with pytest.raises(PolicyRefused):
        route.check_use(other, "1" * 64, TERMS, ENGINE, NOW_US, 30)
    again = route.verify(route.carry(made, other, "3", {}, NOW_US + 2, EVALUATOR), policy())
    assert again.origin == first.id
    assert refusal(route.carry(made, other, "3", {}, NOW_US, STRANGER)) == "evaluator_not_allowed"


SAME = {"": 149, ACCEPTED: 149}
"""They bound a change at 1.99 points."""


def test_what_is_carried_over_bears_what_the_other_engine_may_have_changed() -> None:
    """It adds to the errors of the accepted; it may change the answers of both stages."""
    what = found(limit_micros=30_000, low_micros=-9_998)
    envelope = certificate(what=what)
    first = route.verify(envelope, policy())
    assert route.rooms(first.wanted, what) == {ACCEPTED: 20_000, "": 20_000}
    assert route.rooms(first.wanted, found(low_micros=None)) == {ACCEPTED: 0}
    route.check_changes(first, SAME)
    for name in SAME:
        with pytest.raises(PolicyRefused) as caught:
            route.check_changes(first, {**SAME, name: 148})
        assert caught.value.code == "route_change_unbounded"
        assert "2.0 points; 2.0 are left" in caught.value.message
    made = route.verify(route.carry(envelope, first, "2", SAME, NOW_US, EVALUATOR), policy())
    assert made.circumstances.unflipped == SAME
    less = route.carry(envelope, first, "2", {**SAME, ACCEPTED: 148}, NOW_US, EVALUATOR)
    assert refusal(less) == "route_change_unbounded"
    own = certificate(what=what, how=at(unflipped=SAME))
    assert refusal(own) == "route_certificate_inconsistent"
    assert b"unflipped" not in base64.b64decode(json.loads(envelope)["payload"])  # as it was


def refusal(made: bytes | Callable[[], bytes]) -> str:
    with pytest.raises(PolicyRefused) as caught:
        route.verify(made if isinstance(made, bytes) else made(), policy())
    return caught.value.code


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: certificate(key=STRANGER), "evaluator_not_allowed"),
        (lambda: certificate(key=policies.PUBLISHER), "evaluator_not_allowed"),
        (lambda: certificate(person=STRANGER), "specifier_not_allowed"),
        (lambda: certificate(wanted(name="Another")), "specifier_not_allowed"),
        (lambda: certificate(what=found(limit_micros=60_000)), "route_certificate_inconsistent"),
        (lambda: certificate(what=found(low_micros=-50_000)), "route_certificate_inconsistent"),
        (lambda: certificate(what=found(reason="unsure")), "route_certificate_inconsistent"),
        (lambda: certificate(what=found(threshold_micros=None)), "route_certificate_inconsistent"),
        (lambda: certificate(how=at(look=5)), "route_certificate_inconsistent"),
        (lambda: certificate(how=at(valid_until_us=NOW_US - 1)), "route_certificate_inconsistent"),
        (lambda: certificate(how=at(identity="sworn")), "route_certificate_malformed"),
        (lambda: certificate(what=found(merkle_root="x")), "route_certificate_malformed"),
        (lambda: b"{}", "route_certificate_malformed"),
        (lambda: b"x" * (Calibrated.LIMIT + 1), "route_certificate_malformed"),
    ],
)
def test_a_certificate_that_cannot_be_is_refused(make: Callable[[], bytes], code: str) -> None:
    assert refusal(make) == code


def test_a_byte_that_was_changed_is_found() -> None:
    outer = json.loads(certificate())
    payload = base64.b64decode(outer["payload"]).replace(b'"groups":660', b'"groups":661')
    outer["payload"] = base64.b64encode(payload).decode()
    assert refusal(json.dumps(outer).encode()) == "route_certificate_signature"


def test_a_certificate_for_another_route_than_its_specification_is_refused() -> None:
    document = json.loads(base64.b64decode(json.loads(certificate())["payload"]))
    document["subject"][0]["digest"]["sha256"] = "9" * 64
    forged = dsse.sign(json.dumps(document).encode(), PAYLOAD_TYPE, [EVALUATOR])
    assert refusal(forged) == "route_certificate_inconsistent"


def test_unknown_fields_are_refused() -> None:
    document = json.loads(base64.b64decode(json.loads(certificate())["payload"]))
    document["predicate"]["found"]["bonus"] = 1
    forged = dsse.sign(json.dumps(document).encode(), PAYLOAD_TYPE, [EVALUATOR])
    assert refusal(forged) == "route_certificate_malformed"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"route_digest": "9" * 64}, "route_certificate_other"),
        ({"terms": {**TERMS, "error_micros": 49_999}}, "route_certificate_other"),
        ({"engine": "llama.cpp 2"}, "route_certificate_other"),
        ({"now_us": NOW_US - DAY_US}, "route_certificate_other"),
        ({"now_us": NOW_US + 396 * DAY_US}, "route_certificate_expired"),
    ],
)
def test_a_certificate_holds_for_one_route_one_engine_and_a_time(
    change: dict[str, Any], code: str
) -> None:
    given: dict[str, Any] = {
        "route_digest": "1" * 64, "terms": TERMS, "engine": ENGINE,
        "now_us": NOW_US + 394 * DAY_US, "grace_days": 30,
    }  # fmt: skip
    read = route.verify(certificate(), policy())
    route.check_use(read, **given)
    with pytest.raises(PolicyRefused) as caught:
        route.check_use(read, **(given | change))
    assert caught.value.code == code


def test_what_certifies_nothing_lets_nothing_answer() -> None:
    none = found(reason="underpowered", threshold_micros=None, groups_needed=900)
    read = route.verify(certificate(what=none), policy())
    with pytest.raises(PolicyRefused) as caught:
        route.check_use(read, "1" * 64, TERMS, ENGINE, NOW_US, 30)
    assert caught.value.code == "route_not_certified"


def test_a_classifier_needs_no_engine() -> None:
    read = route.verify(certificate(how=at(engine="")), policy())
    route.check_use(read, "1" * 64, TERMS, "llama.cpp 2", NOW_US, 30)


@pytest.mark.parametrize(
    "change",
    [
        {"larger": ""},
        {"seed": "short"},
        {"route_digest": "X" * 64},
        {"error_micros": 0},
        {"delta_micros": 200_001},
        {"split": "dev"},
        {"time": "yesterday"},
        {"name": "\x1b[0m"},
    ],
)
def test_a_specification_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused) as caught:
        wanted(**change).sign(ecdsa.private_pem(policies.PUBLISHER))
    assert caught.value.code == "specification_invalid"


def test_subjects_of_a_specification_are_its_route_and_its_dataset() -> None:
    document = json.loads(wanted().payload())
    document["subject"][0]["name"] = "x"
    envelope = dsse.sign(json.dumps(document).encode(), PAYLOAD_TYPE, [policies.PUBLISHER])
    with pytest.raises(PolicyRefused, match="subjects"):
        RouteSpecification.open(envelope)


def test_a_schedule_spends_delta_once_and_old_bytes_have_none() -> None:
    falling = (700_000, 100_000, 100_000, 100_000)
    assert wanted(schedule=falling).share(1) == 0.7 and wanted().share(2) == 0.25
    assert b"schedule" not in wanted().payload()
    for schedule in ((700_000, 300_001, 1, 1), (500_000, 500_000)):
        with pytest.raises(PolicyRefused) as caught:
            certificate(wanted(schedule=schedule))
        assert caught.value.code == "specification_invalid"
