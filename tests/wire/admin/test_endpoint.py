"""An endpoint says its request; a name in it can name nothing else."""

import pytest

from appliance.errors import CODES, Refused
from appliance.types import Role
from appliance.wire.admin.base import Reply
from appliance.wire.admin.endpoint import viewers
from tests.api.admin.test_endpoints import ENDPOINTS


def test_a_name_that_can_be_none_is_refused_before_it_is_sent() -> None:
    bad = []
    for name, at in ENDPOINTS.items():
        good = dict.fromkeys(at.names, "x")
        if at.filled(good) != (at.route.format_map(good), {}):
            bad.append((name, ""))
        for part in set(at.names) - {"job_id", "seq", "before"}:
            try:
                at.filled({**good, part: "../keys"})
            except Refused as refused:
                if refused.code in CODES and refused.code == at.unknown:
                    continue
            bad.append((name, part))
    assert ENDPOINTS and bad == []


def test_names_are_those_of_the_path_and_the_query() -> None:
    at = viewers.get("/admin/jobs/{job_id}/lines{?count,level}", Reply)
    filled = at.filled({"job_id": 7, "count": 3, "level": None})
    assert filled == ("/admin/jobs/7/lines", {"count": 3})
    for given in ({}, {"job_id": 7, "limit": 3}):
        with pytest.raises(TypeError):
            at.filled(given)
    with pytest.raises(Refused):
        at.filled({"job_id": "a/b"})
    assert at.said(job_id=7) == "GET /admin/jobs/7/lines" and at.role is Role.VIEWER
