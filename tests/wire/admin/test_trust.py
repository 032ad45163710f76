"""Schemas of the trust policy."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.trust import MAX_FILES, Trust, TrustMetadata, TrustOffer, TrustUpdated


def test_a_request_refuses_and_replies_allow_what_is_new() -> None:
    assert TrustOffer.model_config["extra"] == "forbid"
    for reply in (Trust, TrustMetadata, TrustUpdated):
        assert reply.model_config["extra"] == "ignore"


def test_an_offer_is_bounded() -> None:
    with pytest.raises(BadRequest):
        TrustOffer.of(files={f"{n}.root.json": "" for n in range(MAX_FILES + 1)})
