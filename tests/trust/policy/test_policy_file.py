"""Reading the policy of a data directory."""

import json
from pathlib import Path

import pytest

from appliance.errors import PolicyRefused
from appliance.trust.policy.policy_file import load_policy
from tests.trust.forge import Lab


def code_of(directory: Path) -> str:
    with pytest.raises(PolicyRefused) as caught:
        load_policy(directory)
    return caught.value.code


def test_a_policy_is_read_and_its_signature_checked(lab: Lab) -> None:
    trust = lab.data / "trust"
    assert load_policy(trust) == lab.policy
    envelope = json.loads((trust / "policy.json").read_bytes())
    envelope["payload"] = envelope["payload"][:-4] + "AAAA"
    (trust / "policy.json").write_text(json.dumps(envelope))
    assert code_of(trust) == "policy_signature"


def test_a_policy_that_is_not_there_or_a_link(lab: Lab, tmp_path: Path) -> None:
    trust = lab.data / "trust"
    assert code_of(tmp_path / "none") == "policy_missing"
    (trust / "policy.json").rename(trust / "other.json")
    assert code_of(trust) == "policy_missing"
    (trust / "policy.json").symlink_to("other.json")
    assert code_of(trust) == "policy_missing"
