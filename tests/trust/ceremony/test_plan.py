"""The plan of a ceremony by itself."""

from pathlib import Path

import pytest

from appliance.errors import Refused
from appliance.trust.ceremony import plan as ceremony_plan
from appliance.trust.ceremony.ceremony import DAYS
from appliance.trust.ceremony.plan import RolePlace
from tests.trust.simulator import signers

HOLDERS = {"root": ["Ada", "Bea"], "targets": ["Dan"], "snapshot": ["Dan"], "timestamp": ["Dan"]}
NEED = {"root": 2, "targets": 1, "snapshot": 1, "timestamp": 1}
PEM = signers(1)[0].public_key.keyval["public"].encode()


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    plan = ceremony_plan.make("Example", HOLDERS, NEED, DAYS)
    place = RolePlace("root", "Ada")
    assert place in plan.keyless() and len(plan.keyless()) == 5
    with_key = plan.with_key(place, PEM)
    assert place not in with_key.keyless() and place in plan.keyless()
    ceremony_plan.save(tmp_path, with_key)
    assert ceremony_plan.load(tmp_path) == with_key
    assert place in with_key.without(place, "Ada").keyless()
    assert [p.name for p in tmp_path.iterdir()] == ["ceremony.json"]


@pytest.mark.parametrize("org", ["", " ", "Exam\x1b[2Jple"])
def test_an_organisation_without_a_usable_name(org: str) -> None:
    with pytest.raises(Refused) as caught:
        ceremony_plan.make(org, HOLDERS, NEED, DAYS)
    assert caught.value.code == "ceremony_plan"
