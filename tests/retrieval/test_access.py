"""Access lists."""

import pytest

from appliance.errors import CollectionRefused
from appliance.retrieval.access import ADMIN, MOST_GRANTEES, checked, may_read, of_key


def test_a_key_reads_what_names_it_its_groups_or_everyone() -> None:
    access = of_key("k1", ["fitters"])
    assert all(may_read(access, [name]) for name in ("key:k1", "group:fitters", "everyone"))
    assert not may_read(access, ["key:k2", "group:office"])
    assert not may_read(access, [])
    assert may_read(ADMIN, [])


def test_a_list_has_one_form() -> None:
    assert checked(["key:b", "everyone", "key:b"]) == ("everyone", "key:b")


@pytest.mark.parametrize("name", ["", "all", "key:", "key:a b", "group:A", "everyone\n", "user:x"])
def test_what_is_no_grantee_is_refused(name: str) -> None:
    with pytest.raises(CollectionRefused) as refused:
        checked([name])
    assert refused.value.code == "access_invalid"


def test_lists_are_bounded() -> None:
    with pytest.raises(CollectionRefused):
        checked([f"key:{n}" for n in range(MOST_GRANTEES + 1)])
