"""The models screen's words."""

from appliance.wire.admin.models import Approval, Model, ModelDetail, Worker
from tests.tui.scripted import WORKER
from tests.tui.staging import model_facts
from tui.view import models as view


def shown(detail: ModelDetail, worker: Worker | None = None) -> str:
    return "\n".join(row.plain for row in view.detail(detail, worker, 80))


def test_a_row_has_a_cell_for_each_column() -> None:
    worker = Worker.model_validate(WORKER)
    made = view.row(Model(id="pump", state="serving", digest="ab" * 32), {"pump": worker})
    assert len(made) == len(view.COLUMNS)
    assert made[3].plain == "+ ready"  # type: ignore[union-attr]


def test_a_refusal_is_told_in_words_with_what_to_do() -> None:
    said = shown(
        ModelDetail(
            id="m", state="refused", digest=None, code="file_changed", message="w differs.",
            hint="Copy it again.",
        )
    )  # fmt: skip
    assert "file_changed: w differs." in said and "what to do" in said and "Copy it again." in said


def test_every_state_says_what_comes_next() -> None:
    for state in ("verified", "approved", "suspended", "quarantined", "retired", "revoked"):
        assert "what to do" in shown(ModelDetail(id="m", state=state, digest=None)), state
    assert "what to do" not in shown(ModelDetail(id="m", state="serving", digest=None))


def test_approvals_engine_and_facts() -> None:
    detail = ModelDetail(
        id="pump", state="serving", digest="ab" * 32,
        approvals=[Approval(name="A. Weber", meaning="tested", time="2026-11-18T12:00:00Z")],
        facts=model_facts(name="Pump", file_bytes=5 << 20, n_ctx_train=4096),
    )  # fmt: skip
    said = shown(detail, Worker.model_validate(WORKER))
    for words in ("A. Weber  2026-11-18 12:00:00", "1 024 of 4 096", "sealed memory", "5 MiB"):
        assert words in said, words
    weaker = Worker.model_validate({**WORKER, "held": "disk"})
    assert "weaker claim" in shown(detail, weaker)
    assert "nobody" in shown(ModelDetail(id="m", state="verified", digest=None))


def test_signer_threshold_and_memory() -> None:
    detail = ModelDetail(
        id="pump", state="verified", digest="ab" * 32, publisher="Model Team", approvals_needed=2,
        approvals=[Approval(name="A. Weber", meaning="tested", time="2026-11-18T12:00:00Z")],
        needs_mib=2_412, on_demand=True, waiting=3, unloaded="to make room for motor",
    )  # fmt: skip
    said = shown(detail)
    for words in (
        "Model Team  + verified", "1 of 2 needed", "2.4 GiB by the estimate", "on demand",
        "3 requests waiting", "to make room for motor",
    ):  # fmt: skip
        assert words in said, words
    assert "pinned" in shown(detail.model_copy(update={"pinned": True}))


def test_a_model_on_its_way_says_how_far() -> None:
    loading = Model.model_validate(
        {"id": "m", "state": "approved", "digest": None, "activity": "loading",
         "progress": {"phase": "sealing", "done": 1, "total": 4}}
    )  # fmt: skip
    assert view.row(loading, {})[3].plain == "~ loading 25 %"  # type: ignore[union-attr]
    waits = loading.model_copy(update={"activity": "waiting", "progress": None})
    assert view.row(waits, {})[3].plain == "~ waiting"  # type: ignore[union-attr]
