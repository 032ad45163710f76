"""A status as rows."""

from appliance.wire.admin import Model, Status
from tests.cli.test_status import WORKER
from tests.test_client import STATUS
from tui import view


def status(**changes: object) -> Status:
    return Status.model_validate({**STATUS, **changes})


def test_the_lab_is_named() -> None:
    assert "LAB, not for production" in view.headline(status())
    assert "LAB" not in view.headline(status(profile="site"))


def test_a_log_that_cannot_be_written_is_named() -> None:
    assert view.audit_line(status()).startswith("audit + ok | 1 entries | root 00")
    latched = status(audit={"entries": 1, "root": "00", "latched": "disk full"})
    assert "! refusing: disk full" in view.audit_line(latched)


def test_rows_have_a_cell_for_each_column() -> None:
    refused = Model(id="m", state="refused", digest=None, code="gguf_magic")
    assert view.model_row(refused) == ("m", "refused", "-", "gguf_magic")
    assert len(view.model_row(refused)) == len(view.MODEL_COLUMNS)
    assert view.worker_row(WORKER) == ("m", "ready", "2/8", "3", "10/64", "250", "0")
    assert len(view.worker_row(WORKER)) == len(view.WORKER_COLUMNS)
