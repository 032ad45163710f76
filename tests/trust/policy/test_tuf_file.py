"""One file of metadata by itself."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from tuf.api.metadata import Root, Timestamp

from appliance.errors import PolicyRefused
from appliance.trust.policy import tuf_file
from tests.trust.simulator import DAY, NOW, Simulator, signers

SIM = Simulator()
ROOT = SIM.roots[0]


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(PolicyRefused) as caught:
        call()
    return caught.value.code


def test_a_file_is_read_as_the_role_that_it_is() -> None:
    assert tuf_file.load(Root, ROOT, "root.json").signed.version == 1
    assert code_of(lambda: tuf_file.load(Timestamp, ROOT, "x")) == "trust_metadata_malformed"


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", ROOT[:-1], ROOT.replace(b'"signed"', b'"signed": {}, "signed"', 1)],
    ids=["nothing", "a list", "nothing in it", "cut", "a key twice"],  # keys differ in each process
)
def test_what_has_no_meaning_or_two(data: bytes) -> None:
    assert code_of(lambda: tuf_file.load(Root, data, "root.json")) == "trust_metadata_malformed"


def test_signatures_are_those_of_the_role_over_these_very_bytes() -> None:
    read = tuf_file.load(Root, ROOT, "root.json")
    tuf_file.demand(read.signed, "root", read, "trust_threshold", "it")
    changed = json.loads(ROOT)
    changed["signed"]["version"] = 2
    other = tuf_file.load(Root, json.dumps(changed).encode(), "root.json")
    strange = Simulator(keys={**SIM.keys, "root": signers(3)}).roots[0]
    stranger = tuf_file.load(Root, strange, "root.json").signed
    for root, signed in ((read.signed, other), (stranger, read)):
        demand = partial(tuf_file.demand, root, "root", signed, "trust_rollback", "it")
        assert code_of(demand) == "trust_rollback"  # the caller's own


def test_time_is_asked_for_where_one_is_given() -> None:
    root = tuf_file.load(Root, ROOT, "root.json").signed
    tuf_file.check_time(root, root.expires - DAY, "it")
    tuf_file.check_time(root, None, "it")
    for late in (root.expires, NOW + 9999 * DAY):
        assert code_of(partial(tuf_file.check_time, root, late, "it")) == "trust_expired"
