"""The fold of entries, and differences."""

from typing import Any

import pytest

from appliance.governance import log_state
from appliance.governance.log_state import ANY, ProvenFacts, State

KEY: dict[str, Any] = {"kind": "admin", "action": "key_create", "key_id": "k", "name": "app"}


def model(seq: int, state: str, **more: Any) -> dict[str, Any]:
    body = {"kind": "model", "model": "m", "event": "state", "before": "x", "digest": "ab" * 32}
    return {**body, "seq": seq, "state": state, **more}


def entry(seq: int, action: str, **more: Any) -> dict[str, Any]:
    return {"kind": "admin", "seq": seq, "action": action, **more}


def what(state: State, rows: State) -> list[tuple[str, str]]:
    return [(found.what, found.subject) for found in log_state.differences(state, rows)]


def test_a_suspension_makes_a_round_and_another_artifact_begins_again() -> None:
    life = [
        model(1, "quarantined", before="media"), model(2, "vetted"), model(3, "verified"),
        model(4, "approved", event="approval", key="a", envelope_sha256="e"),
        model(5, "serving"), model(6, "suspended"),
    ]  # fmt: skip
    state = log_state.fold({}, life)
    found = state["models"]["m"]
    assert (found.rank, found.values["round"], found.seq) == (3, 1, 6)
    assert state["model_approvals"]["m/a"].values == {"envelope_sha256": "e"}
    assert (
        what(state, {"models": {"m": ProvenFacts(0, {"round": 1})}})
        == [
            ("absent", "m/a"),
            ("revived", "m"),
        ][::-1]
    )
    again = [model(7, "refused"), model(8, "quarantined", before="media"), model(9, "vetted")]
    state = log_state.fold(state, again)
    assert (state["models"]["m"].values["round"], state["model_approvals"]) == (0, {})


def test_an_import_that_was_refused_says_nothing_of_the_artifact_of_that_id() -> None:
    life = [model(1, "verified"), model(2, "refused", before="media", digest="")]
    state = log_state.fold({}, life)
    assert (state["models"]["m"].rank, state["models"]["m"].seq) == (1, 1)


def test_entries_of_older_releases_are_compared_as_far_as_they_say_it() -> None:
    old = [
        {**KEY, "seq": 1},
        model(2, "approved", event="approval", approver="anna"),
        entry(3, "gate_verdict", specification="s", certificate=""),
    ]
    state = log_state.fold({}, old)
    row = ProvenFacts(0, {"name": "app", "secret_sha256": "aa"})
    rows: State = {
        "api_keys": {"k": row},
        "models": {"m": ProvenFacts(0, {"round": 0})},
        "model_approvals": {"m/key": ProvenFacts()},
        "certificates": {"c": ProvenFacts()},
    }
    assert what(state, rows) == []
    kept = log_state.agreed(state, rows)
    assert not any(ANY in subject for subjects in kept.values() for subject in subjects)
    rows["api_keys"] = {"k": ProvenFacts(0, {"name": "app", "secret_sha256": "bb"})}
    rows["model_approvals"] = {"m/key": ProvenFacts(), "m/other": ProvenFacts()}
    assert what(kept, rows) == [("edited", "k"), ("unlogged", "m/other")]


def test_a_job_at_work_may_change_its_checkpoint_where_the_log_was_pruned() -> None:
    """Also after a settlement, which makes its row the state; a result is kept."""

    def job(name: str, digest: str) -> State:
        return {"jobs": {"5": ProvenFacts(values={f"{name}_sha256": digest})}}

    settled = entry(1, log_state.SETTLED, settled=[{"table": "jobs", "subject": "5", "facts": {}}])
    for state in ({"jobs": {ANY: ProvenFacts()}}, log_state.fold({}, [settled])):
        kept = log_state.agreed(state, job("checkpoint", "aa"))
        assert what(kept, job("checkpoint", "bb")) == []
        done = log_state.agreed(kept, job("result", "cc"))
        assert what(done, job("result", "dd")) == [("edited", "5")]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (ProvenFacts(1, {"name": "other"}), "absent"),  # revoked: stricter, whatever else it says
        (ProvenFacts(0, {"name": "other"}), "edited"),
        (None, "absent"),
    ],
)
def test_a_row_that_permits_less_is_only_named(row: ProvenFacts | None, found: str) -> None:
    state = log_state.fold({}, [{**KEY, "seq": 1}])
    rows: State = {"api_keys": {} if row is None else {"k": row}}
    assert [one for one, _ in what(state, rows)] == ([] if row and row.rank else [found])
    permits = [one.permits for one in log_state.differences(state, rows)]
    assert permits == ([] if row and row.rank else [found == "edited"])


def test_a_settled_entry_is_the_state_from_there_on() -> None:
    state = log_state.fold({}, [{**KEY, "seq": 1}, entry(2, "key_revoke", key_id="k")])
    rows: State = {"api_keys": {"k": ProvenFacts(0, {"name": "app"})}}
    found = log_state.differences(state, rows)
    assert found[0].sentence().startswith("The API key k was withdrawn by entry 2")
    said = entry(3, log_state.SETTLED, settled=log_state.settled(found, rows))
    assert what(log_state.fold(state, [said]), rows) == []
    gone = entry(4, log_state.SETTLED, settled=log_state.settled(found, {}))
    assert what(log_state.fold(state, [gone]), {}) == []
