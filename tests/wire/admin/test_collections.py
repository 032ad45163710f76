"""Bodies about collections."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.collections import (
    AccessWanted,
    CollectionNew,
    GroupChange,
    RemoveWanted,
    SearchWanted,
)


def test_defaults() -> None:
    wanted = CollectionNew.of(name="c")
    assert (wanted.embedder, wanted.ranking, wanted.budget, wanted.overlap) == ("", None, None, 40)
    assert RemoveWanted.of(documents=["a"]).everything is False


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (CollectionNew, {"name": ""}),
        (CollectionNew, {"name": "c", "ranking": "best"}),
        (CollectionNew, {"name": "c", "budget": 63}),
        (AccessWanted, {"document": "d", "access": ["x"] * 501}),
        (SearchWanted, {"query": "q", "limit": 51}),
        (GroupChange, {"name": "g", "add": ["k"] * 401}),
        (RemoveWanted, {"documents": [""]}),
    ],
)
def test_what_cannot_be_meant_is_refused(
    body: type[CollectionNew], fields: dict[str, object]
) -> None:
    with pytest.raises(BadRequest) as refused:
        body.of(**fields)
    assert refused.value.code == "invalid_value"
