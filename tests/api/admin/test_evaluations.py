"""The page of an evaluation over the admin socket: only if there is one."""

import pytest

from appliance.api.admin import deps
from appliance.app import Services
from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.evals.job import DIRECTORY
from appliance.evals.store import OutcomeFiles
from appliance.types import Role
from appliance.wire.admin import evaluations as wire
from appliance.wire.admin.evaluations import CompareWanted, ErrorsWanted
from tests.evals.example import outcomes
from tests.evals.test_comparing import stored
from tests.evals.test_report import whole_page


def test_a_page_is_handed_out(services: Services, client: AdminClient) -> None:
    with pytest.raises(ApplianceError) as caught:
        client.call(wire.EVALUATION_REPORT, job_id=5)
    assert caught.value.code == "report_missing"
    OutcomeFiles(services.data / DIRECTORY / "5").write_report("<p>found</p>")
    assert client.call(wire.EVALUATION_REPORT, job_id=5).html == "<p>found</p>"


def test_a_viewer_sees_no_item_and_no_answer(
    services: Services, client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    OutcomeFiles(services.data / DIRECTORY / "5").write_report(whole_page())
    words = ("item-7", "the pump leaks", "the hose leaks", "Flips")
    shown = client.call(wire.EVALUATION_REPORT, job_id=5).html
    assert all(word in shown for word in words)  # the control: an operator works with them
    monkeypatch.setattr(deps, "resolve_role", lambda *_: Role.VIEWER)
    seen = client.call(wire.EVALUATION_REPORT, job_id=5).html
    assert not any(word in seen for word in words)
    assert seen.count("<section>") == shown.count("<section>") - 1
    assert seen.count("</section>") == seen.count("<section>") and "Speed and memory" in seen


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("split", ["train", "dev", "certify", "test"])
def test_who_sees_wrong_items_and_flips_of_which_split(
    services: Services,
    client: AdminClient,
    monkeypatch: pytest.MonkeyPatch,
    role: Role | None,
    split: str,
) -> None:
    """Operators and above see those of open splits; sealed ones nobody, whatever a file says."""
    stored(services.data / DIRECTORY, 5, split=split, linear=outcomes(80), tuned=outcomes(100))
    monkeypatch.setattr(deps, "resolve_role", lambda *_: role)
    errors = ErrorsWanted.of(side={"evaluation": 5})
    sides = CompareWanted.of(
        first={"evaluation": 5}, second={"evaluation": 5, "candidate": "linear"}
    )
    asked = (
        lambda: client.call(wire.EVALUATION_ERRORS, errors).shown,
        lambda: client.call(wire.EVALUATIONS_COMPARE, sides).flips,
    )
    for ask in asked:
        if split in ("train", "dev") and role not in (None, Role.VIEWER):
            assert len(ask()) == 20
            continue
        with pytest.raises(ApplianceError) as refused:
            ask()
        wanted = "forbidden" if role in (None, Role.VIEWER) else "dataset_sealed"
        assert refused.value.code == wanted and "i110" not in str(refused.value)
