"""Segments and prunes over the admin socket: roles, and what is refused."""

import pytest

from appliance.client import AdminClient
from appliance.errors import ApplianceError, BadRequest
from appliance.wire.admin.models import ApprovalUpload
from appliance.wire.admin.retention import PRUNE, PRUNE_APPROVE, PRUNE_SUBJECT, SEGMENTS, Prune


def test_the_segments_of_a_young_log(client: AdminClient) -> None:
    found = client.call(SEGMENTS)
    assert (found.first, len(found.segments), found.segments[0].code) == (0, 1, "prune_boundary")
    assert (found.segments[0].latest, found.segments[0].bytes > 0) == (None, True)


def test_nothing_of_a_young_log_goes(client: AdminClient) -> None:
    for call in (
        lambda: client.call(PRUNE_SUBJECT, before=1),
        lambda: client.call(PRUNE_APPROVE, ApprovalUpload.holding(b"{}"), before=1),
        lambda: client.call(
            PRUNE, Prune.of(before=1, reason="x", exported_first=0, exported_root="ab" * 32)
        ),
    ):
        with pytest.raises(ApplianceError) as caught:
            call()
        assert caught.value.code == "prune_boundary"


def test_a_prune_is_checked_before_it_is_sent(client: AdminClient) -> None:
    for before, reason, root in ((0, "x", "ab" * 32), (1, "", "ab" * 32), (1, "x", "AB" * 32)):
        with pytest.raises(BadRequest):
            client.call(
                PRUNE, Prune.of(before=before, reason=reason, exported_first=0, exported_root=root)
            )
