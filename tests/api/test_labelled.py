"""A label is recorded before it is kept: without a log there is none."""

from typing import Any

import pytest

from appliance.api.labelled import keep_label, put_aside
from appliance.app import Services
from appliance.datasets.items import Item
from appliance.datasets.labelling import Given, PutAside
from appliance.errors import AuditUnavailable


def test_nothing_is_kept_that_cannot_be_recorded(
    real_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = real_services.labels
    labels.create("recorded", "", [Item("u1", "g", {"text": "x"})], ["a", "b"], ["anna", "ben"])

    def full(_draft: Any) -> Any:
        raise AuditUnavailable("audit_unavailable", "The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(real_services.audit, "append", full)
        with pytest.raises(AuditUnavailable):
            keep_label(real_services, "recorded", Given("u1", "anna", "a"), "uid:7")
        with pytest.raises(AuditUnavailable):
            put_aside(real_services, "recorded", PutAside("u1", "anna", "unreadable"), "uid:7")
        work = labels.get("recorded").labelling
        assert not work.given and not work.aside
    keep_label(real_services, "recorded", Given("u1", "anna", "a"), "uid:7")  # the control
    assert labels.get("recorded").labelling.given
    labels.remove("recorded")
