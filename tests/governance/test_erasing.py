"""Erasure reaches every place of a text: a canary in each, and afterwards none in any file of the
data directory, in a free page or in a WAL.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.app import Services, initialise, open_services
from appliance.audit.entry import LogEntry
from appliance.audit.log import Draft
from appliance.audit.verification.verify import verify_log
from appliance.datasets.items import Item
from appliance.datasets.labelling import Given
from appliance.errors import AuditRefused, NotFound, StateRefused, Unavailable
from appliance.evals.outcomes import Outcome
from appliance.evals.store import OutcomeFiles
from appliance.governance import erasing
from appliance.host import at_rest
from appliance.retrieval.collection import Settings
from appliance.routing.people import Form
from appliance.tuning import teaching
from appliance.types import Caller, Json
from tests.retrieval.shelf import incoming
from tests.smol import caller

REQUEST = "req-" + "7" * 32


def canary(place: str) -> str:
    return "zq" + hashlib.sha256(place.encode()).hexdigest()[:20]


def where(data: Path, words: Iterator[str] | list[str]) -> dict[str, set[str]]:
    """The files of a data directory, as they are on the disk, that hold each word."""
    found: dict[str, set[str]] = {}
    files = {p.relative_to(data).as_posix(): p.read_bytes() for p in data.rglob("*") if p.is_file()}
    for word in words:
        spellings = (word.encode(), word.encode("utf-16-le"), word.upper().encode())
        found[word] = {
            name for name, held in files.items() if any(one in held for one in spellings)
        }
    return found


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Texts are unencrypted here, so that remains are seen."""
    monkeypatch.setattr(at_rest, "cipher_of", lambda *_: at_rest.PLAIN)
    initialise(tmp_path / "data", "lab")
    with (tmp_path / "data" / "appliance.toml").open("a") as file:
        file.write("[audit]\nballast_mib = 0\n")  # each word is looked for in every byte
    return tmp_path / "data"


def asked(request: str = REQUEST) -> Caller:
    return replace(caller("k1"), request_id=request)


def logged(services: Services, request: str, place: str, **more: object) -> int:
    fields = {"request_id": request, "key_id": "k1", "model": "m", **more}
    texts = {"prompt": canary(f"{place} prompt").encode()}
    (begun,) = services.audit.append(Draft("intent", fields, texts)).result()  # type: ignore[arg-type]
    ended = {"intent": begun.seq, "request_id": request, "status": "ok"}
    texts = {"completion": canary(f"{place} completion").encode()}
    services.audit.append(Draft("outcome", ended, texts)).result()  # type: ignore[arg-type]
    return begun.seq


IN_CLEAR = (
    "queue input", "queue answer", "sample answer", "sample label", "waiting sample",
    "label queue", "removed queue", "outcome expected", "outcome answer", "teaching answer",
    "report", "shadow pointer", "document", "heading", "metadata",
)  # fmt: skip
IN_THE_LOG = ("log", "shadow", "evidence")


def plant(services: Services) -> int:
    """A canary in each place; the number of the request's intent."""
    data, people = services.data, services.people
    seq = logged(services, REQUEST, "log", retrieved={"search": "evidence-1"})
    logged(services, f"{REQUEST}{erasing.SHADOW}", "shadow")
    logged(services, "evidence-1", "evidence")
    item = people.put(
        asked(), "orders", {"order": canary("queue input")}, Form(), hours=1, reason="r"
    )
    people.answer(item.id, canary("queue answer"), "uid:7")
    for number, (request, label) in enumerate(
        ((REQUEST, canary("sample label")), (f"{REQUEST}-x", ""))
    ):
        services.monitors._keep(
            {
                "certificate": "c", "route": "orders", "request_id": request, "key_id": "k1",
                "day": "2026-01-01", "answer": canary(("sample answer", "waiting sample")[number]),
                "bound_micros": 1, "delta_micros": 1, "due_us": 1 << 50, "label": label,
                "confidence_micros": 1,
            }
        )  # fmt: skip
    waiting = (Item(REQUEST, "g", {"text": canary("label queue")}),)
    services.labels.create("mine", "/d", waiting, ("a", "b"), ("anna", "ben"))
    many = [Item(f"i{n}", "g", {"text": f"{n} {canary('removed queue')}"}) for n in range(54)]
    services.labels.create("old", "/d", many, ("a", "b"), ("anna", "ben"))
    for directory, place in (("evaluations", "outcome"), (teaching.DIRECTORY, "teaching")):
        files = OutcomeFiles(data / directory / "5")
        other = Outcome("other", "g", "x", "y", 0, 1)
        files.append(
            0,
            [
                Outcome(REQUEST, "g", canary("outcome expected"), canary(f"{place} answer"), 7, 1),
                other,
            ],
        )
        flips = f"<section>\n<h2>Flips</h2>\n<p>{canary('report')}</p>\n</section>\n"
        files.write_report(f"<section>\n<h2>Speed</h2>\n</section>\n{flips}<p>rest</p>")
    with services.shadows._database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO shadow_answers (pointer, request, verdict) VALUES (?, ?, 'same')",
            (canary("shadow pointer"), REQUEST),
        )
    services.retrieval.library.create("c", Settings())
    collection = services.retrieval.library.get("c").collection
    collection.put(incoming("a.txt", f"{canary('document')} {canary('heading')}", embedded=False),
                   "p", 1)  # fmt: skip
    collection.keep_metadata({"name": canary("metadata")}, 1)
    return seq


def test_nothing_is_left_of_what_was_erased(data: Path) -> None:
    words = [canary(place) for place in IN_CLEAR]
    hidden = [canary(f"{p} {t}") for p in IN_THE_LOG for t in ("prompt", "completion")]
    with open_services(data) as services:
        seq = plant(services)
        reader = services.reader
        before = where(data, [*words, *hidden])
        # The controls: in clear where it lies in clear, and nowhere what the log encrypts.
        assert all(before[word] for word in words), [p for p in IN_CLEAR if not before[canary(p)]]
        assert not any(before[word] for word in hidden)
        assert reader.content(seq, "prompt").decode() == canary("log prompt")
        answers = [e for e in reader.tail(50) if e.body.get("action") == "queue_answer"]
        assert canary("queue answer").encode() in reader.content(answers[0].seq, "answer")

        # Who has the log and a list of all that may have been said finds none of it there.
        bodies = b" ".join(entry.raw for entry in reader.tail(100)).decode()
        for said in (*words, *hidden):
            for text in (said, json.dumps(said), json.dumps({"order": said})):
                assert hashlib.sha256(text.encode()).hexdigest()[:16] not in bodies

        done = services.erasure.erase(REQUEST, "uid:0", "asked for")
        services.erasure.erase(f"{REQUEST}-x", "uid:0", "asked for")
        services.labels.remove("old")
        collection = services.retrieval.library.get("c").collection
        collection.forget_metadata(1)
        collection.remove(["a.txt"])
        assert done.places == {
            "queue": 1, "samples": 1, "shadows": 1, "label queues": 1, "evaluations": 2,
        }  # fmt: skip
        running = where(data, [*words, *hidden])
        assert not any(running.values()), {w: f for w, f in running.items() if f}
        for entry in reader.tail(50):
            for name in parts_of(entry):
                with pytest.raises(AuditRefused):
                    reader.content(entry.seq, name)  # nothing opens any of the texts
    assert not any(where(data, [*words, *hidden]).values())
    assert verify_log(data / "audit").ok
    with open_services(data) as services:  # and what is left still works
        kept = services.monitors.standing("c")
        assert (kept.labelled, kept.wrong) == (1, 1)  # that it was wrong is not its text
        (outcome, other) = OutcomeFiles(data / "evaluations" / "5").read(0)
        assert (outcome.item, outcome.micros, outcome.erased) == (REQUEST, 7, True)
        assert (other.answer, other.erased) == ("y", None)
        assert "<p>rest</p>" in (data / "evaluations" / "5" / "report.html").read_text()
        assert services.labels.get("mine").labelling.items == ()
        files = OutcomeFiles(data / "evaluations" / "5")  # a page that was in the making
        files.write_report(f"<section>\n<h2>Flips</h2>\n{canary('report')}</section>\n")
        assert not any(where(data, words).values())
        assert services.people.list(state="answered")[0].answer is None


def parts_of(entry: LogEntry) -> list[str]:
    content = entry.body.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return list(parts) if isinstance(parts, dict) else []


def test_an_erasure_that_a_crash_cut_short_ends_at_the_next_start(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [canary(place) for place in ("queue input", "label queue", "outcome answer")]
    with open_services(data) as services:
        plant(services)
        given: dict[str, Json] = {"item": REQUEST, "rater": "anna", "together": False}
        fields: dict[str, Json] = {"action": "label_set", "actor": "uid:0", "queue": "mine"}
        services.audit.append(Draft("admin", {**fields, **given})).result()
        services.labels.set("mine", Given(REQUEST, "anna", "a"), "uid:0")
        with monkeypatch.context() as cut:
            cut.setattr(erasing.Erasing, "catch_up", crash)
            with pytest.raises(RuntimeError):
                services.erasure.erase(REQUEST, "uid:0", "asked for")
        assert all(where(data, words).values())  # the control: it was cut
    full = "CREATE TRIGGER full BEFORE DELETE ON label_items BEGIN SELECT RAISE(FAIL, 'full'); END"
    execute(data, full)
    with open_services(data) as services, pytest.raises(Unavailable) as refused:
        services.erasure.catch_up()
    assert refused.value.code == "erasure_unfinished"
    execute(data, "DROP TRIGGER full")
    with open_services(data) as services:
        assert not any(where(data, words).values())
        assert services.agreement.standing.alarms() == []


def execute(data: Path, sql: str) -> None:
    raw = pysqlite3.dbapi2.connect(str(data / "appliance.db"))
    raw.execute(sql)
    raw.close()


def crash(_: object) -> None:
    raise RuntimeError("the host lost power")


def test_a_reader_that_holds_the_log_of_writes_is_told_and_the_next_erasure_ends_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_services(data) as services:
        plant(services)
        reader = pysqlite3.dbapi2.connect(str(data / "appliance.db"), isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        with pytest.raises(Unavailable) as refused:
            services.erasure.erase(REQUEST, "uid:0", "asked for")
        assert refused.value.code == "erasure_unfinished"
        reader.close()
        services.erasure.erase(REQUEST, "uid:0", "again")
        assert not any(where(data, [canary("queue input")]).values())


def test_what_was_deleted_before_it_was_overwritten_goes_too(data: Path) -> None:
    word = canary("old")
    with open_services(data) as services:
        seq = logged(services, REQUEST, "log")
    raw = pysqlite3.dbapi2.connect(str(data / "appliance.db"))
    raw.execute("PRAGMA secure_delete = OFF")
    raw.execute("CREATE TABLE old (text TEXT)")
    raw.executemany("INSERT INTO old VALUES (?)", [(f"{word} {n}" * 50,) for n in range(400)])
    raw.commit()
    raw.execute("DROP TABLE old")
    raw.commit()
    raw.close()
    assert where(data, [word])[word] == {"appliance.db"}
    with open_services(data) as services:
        assert services.erasure.erase(REQUEST, "uid:0", "asked for").seq > seq
    assert not where(data, [word])[word]


def test_backups_and_datasets_that_still_hold_the_text_are_named(data: Path) -> None:
    made = [("2020-01-01T00:00:00Z", "old.tar"), ("2100-01-01T00:00:00Z", "new.tar")]
    held = [{"time": time, "file": file, "release": "1", "bytes": 1} for time, file in made]
    (data / "backups.json").write_text(json.dumps({"backups": held}))
    with open_services(data) as services:
        logged(services, REQUEST, "log")
        done = services.erasure.erase(REQUEST, "uid:0", "asked for")
        assert [one.file for one in done.backups] == ["new.tar"]
        entry = services.reader.entry(done.seq).body
        assert entry["backups"] == ["2100-01-01T00:00:00+00:00"]


def test_the_same_request_asked_twice_is_erased_by_either_id(data: Path) -> None:
    with open_services(data) as services:
        given = {"order": canary("queue input")}
        first = services.people.put(asked("req-1"), "orders", given, Form(), hours=1, reason="r")
        again = services.people.put(asked("req-2"), "orders", given, Form(), hours=1, reason="r")
        assert again.id == first.id
        services.erasure.erase("req-2", "uid:0", "asked for")
        assert not any(where(data, [canary("queue input")]).values())
        kept = services.people.get(first.id)
        assert (kept.state, kept.input, kept.same) == ("expired", {}, None)


def test_what_nothing_keeps_cannot_be_erased(data: Path) -> None:
    with open_services(data) as services:
        size = services.reader.size
        with pytest.raises(NotFound):
            services.erasure.erase("req-none", "uid:0", "asked for")
        assert services.reader.size == size


@pytest.mark.parametrize("request_id", [REQUEST, f"{REQUEST}{erasing.SHADOW}"])
def test_what_is_still_being_answered_is_erased_after_its_answer(
    data: Path, request_id: str
) -> None:
    """The text of an answer that came after the erasure would stay."""
    with open_services(data) as services:
        logged(services, REQUEST, "log")
        fields: dict[str, Json] = {"request_id": request_id, "key_id": "k1", "model": "m"}
        (begun,) = services.audit.append(Draft("intent", fields)).result()
        before = services.audit.size
        with pytest.raises(StateRefused) as refused:
            services.erasure.erase(REQUEST, "uid:0", "asked for")
        assert refused.value.code == "request_running" and services.audit.size == before
        ended: dict[str, Json] = {"intent": begun.seq, "request_id": request_id, "status": "ok"}
        last = canary("last")
        services.audit.append(Draft("outcome", ended, {"completion": last.encode()})).result()
        services.erasure.erase(REQUEST, "uid:0", "asked for")
    assert where(data, [last]) == {last: set()}


def test_commitments_to_lists_of_answers_go_with_an_answer(data: Path, tmp_path: Path) -> None:
    """With the keys and a list of labels nobody may find the answer in the removed list."""
    with open_services(data) as services:
        item = services.people.put(asked(), "orders", {"o": "x"}, Form(), hours=1, reason="r")
        services.people.answer(item.id, "leak", "uid:7")
        body: dict[str, Json] = {
            "action": "queue_labels",
            "actor": "uid:7",
            "task": "orders",
            "items": 1,
        }
        other: dict[str, Json] = {**body, "task": "others"}
        seqs = [
            services.audit.append(Draft("admin", f, {"items": b"x"}, "commit-only")).result()[0]
            for f in (body, other)
        ]  # fmt: skip
        done = services.erasure.erase(REQUEST, "uid:0", "asked for")
        entries = services.reader.entry(done.seq).body["entries"]
        assert seqs[0].seq in entries and seqs[1].seq not in entries  # type: ignore[operator]
