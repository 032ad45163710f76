"""One message, delivered or not; the notifier's tests read what comes."""

import smtplib
from pathlib import Path

import pytest

from appliance.config import NotifyConfig
from appliance.errors import UsageError
from appliance.forwarding.delivery import send
from appliance.forwarding.notices import IncidentNotice, NoticePlan
from tests.audit.logs import ORIGIN
from tests.forwarding.test_notifier import BEGAN
from tests.ports import free_port


def notice(config: NotifyConfig) -> IncidentNotice:
    plan = NoticePlan(config, ORIGIN)
    plan.add(BEGAN)
    found = plan.notice(BEGAN, 1)
    assert found is not None
    return found


@pytest.mark.parametrize("scheme", ["smtp", "http"])
def test_what_is_not_taken_is_an_error_of_the_system(tmp_path: Path, scheme: str) -> None:
    config = NotifyConfig(
        to=f"{scheme}://127.0.0.1:{free_port()}", mail_to=("a@b",), mail_from="c@d"
    )
    with pytest.raises(OSError, match="refused"):
        send(config, tmp_path, notice(config))
    assert issubclass(smtplib.SMTPException, OSError)  # which is all that the notifier catches


def test_a_ca_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    config = NotifyConfig(to="https://127.0.0.1:9/x", ca="nothing.pem")
    with pytest.raises(UsageError) as refused:
        send(config, tmp_path, notice(config))
    assert refused.value.code == "certificate_unusable"
