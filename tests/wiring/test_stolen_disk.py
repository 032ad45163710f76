"""A stolen disk: what a program that has everything but the passphrase finds of the texts."""

from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.app import initialise, open_services
from appliance.audit.files import LogFiles
from appliance.host import host_key
from appliance.looks.answers import LookFiles
from appliance.looks.sealed_lines import SealedLines
from appliance.serving.kept_answers import KeptAnswer
from appliance.wiring import protection
from tests.conftest import CHECKOUT
from tests.governance.test_erasing import IN_CLEAR, IN_THE_LOG, canary, plant, where

WORDS = "correct horse battery"
SEALED = ("queue input", "queue answer", "sample answer", "sample label", "waiting sample",
          "label queue", "removed queue", "kept answer", "gate outcome")  # fmt: skip
"""Places beside the log whose texts are encrypted."""
STATED = {
    "outcome expected": "open items", "outcome answer": "open items", "teaching answer": "teaching",
    "report": "reports", "document": "collections", "heading": "collections",
    "metadata": "collections",
}  # fmt: skip
"""Places where a text lies in clear, and the word for each in the threat model."""


def by_sqlite(data: Path, word: str) -> set[str]:
    """The databases in which a value holds a word, whatever pages it lies on."""
    found = set()
    for path in data.rglob("*.db"):
        opened = pysqlite3.dbapi2.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        tables = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            rows = opened.execute(f'SELECT * FROM "{table}"')
            if any(word in str(value) or word.encode() in bytes(str(value), "utf-8")
                   for row in rows for value in row):  # fmt: skip
                found.add(path.name)
        opened.close()
    return found


@pytest.fixture
def stolen(tmp_path: Path) -> Path:
    """A data directory with a canary in each place, its keys under a passphrase, no server."""
    data = tmp_path / "data"
    initialise(data, "lab")
    with open_services(data) as services:
        plant(services)
        kept = KeptAnswer(("r",), "asked", canary("kept answer").encode())
        services.kept.keep("place", "k1", kept, 1_000)
        kek = LogFiles(data / "audit").key_encryption_key()
        look = LookFiles(data / "evaluations" / "9", kek)
        look.begin("gate")
        SealedLines(look.directory / "a.sealed", look.key).append([canary("gate outcome").encode()])
    protection.protect(data, WORDS)
    host_key.lock(data)
    return data


def test_a_stolen_disk_shows_what_the_threat_model_says_and_no_more(stolen: Path) -> None:
    logged = [f"{place} {text}" for place in IN_THE_LOG for text in ("prompt", "completion")]
    places = [*IN_CLEAR, *logged, *SEALED]
    assert len(set(places)) >= 20
    words = {place: canary(place) for place in places}
    raw = where(stolen, list(words.values()))
    found = {place for place, word in words.items() if raw[word] or by_sqlite(stolen, word)}
    assert found == STATED.keys() | {"shadow pointer"}  # the digest of a pointer: no text
    part = (CHECKOUT / "docs" / "threat-model.md").read_text().split("### Someone who gets")[1]
    part = part.split("###")[0]
    assert all(word in part for word in STATED.values())
    host_key.unlock(stolen, WORDS)  # the control: with the passphrase all of it is there
    with open_services(stolen) as services:
        (item,) = services.people.list(state="answered")
        assert item.input == {"order": canary("queue input")}
        assert item.answer == canary("queue answer")
        assert services.labels.input_of("mine", "req-" + "7" * 32)["text"] == canary("label queue")
        answer = services.kept.find("place")
        assert answer is not None and answer.text.decode() == canary("kept answer")
    host_key.lock(stolen)
