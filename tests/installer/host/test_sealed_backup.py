"""A protected site's backup: encrypted to its officers, restored elsewhere, and used there."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.errors import ApplianceError, AuditRefused
from appliance.host import host_key
from appliance.retrieval.access import ADMIN
from appliance.retrieval.collection import Settings
from appliance.retrieval.search import Searcher
from appliance.serving.kept_answers import KeptAnswer
from appliance.trust.bytes import ecdsa, key_file
from appliance.wiring import protection
from installer.host import answers, backup
from installer.host.backup import Opening
from installer.host.problems import InstallError
from tests.governance.test_erasing import REQUEST, canary, logged
from tests.installer.host.test_backup import host, quiet
from tests.retrieval.shelf import incoming
from tests.site import NOW_US, Site, make_site
from tests.smol import SMALL
from tests.trust import forge
from tests.trust.simulator import Simulator

WORDS, SECRET = "correct horse battery", "an officer's own words"
CHOSEN = answers.combine({})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = make_site(tmp_path / "one", Simulator())
    with made.services() as services:
        logged(services, REQUEST, "erased")
        logged(services, f"{REQUEST}-b", "log")
        services.erasure.erase(REQUEST, "uid:0", "asked for")
        answer = KeptAnswer(("req-9",), "asked", canary("kept").encode())
        services.kept.keep("place", "k1", answer, 1 << 40)
        files = services.batches.store._files
        file = files.begin("k1", "batch_output", "out.jsonl", NOW_US << 1)
        files.append(file, 0, canary("batch").encode() + b"\n", 1)
        (made.data / "file").write_text(files.finish(file).id)
        services.retrieval.library.create("c", Settings())
        document = incoming("a.txt", canary("document"), embedded=False)
        services.retrieval.library.get("c").collection.put(document, "p", 1)
    protection.protect(made.data, WORDS)
    (given := tmp_path / "credentials").mkdir()
    (given / host_key.CREDENTIAL).write_text(WORDS)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    yield made
    host_key.lock(made.data)


def officer(site: Site, place: Path) -> Opening:
    path, words = place / "officer.pem", place / "words"
    path.write_bytes(site.sim.keys["root"][1].private_bytes)
    key_file.encrypt(path, key_file.read(path, lambda: ""), SECRET)
    words.write_text(SECRET)
    return Opening(str(path), str(words))


def code_of(action: object) -> str:
    with pytest.raises((InstallError, ApplianceError)) as caught:
        action()  # type: ignore[operator]
    return str(caught.value.code)  # type: ignore[attr-defined]


def test_it_comes_back_elsewhere_with_an_officers_key_and_the_passphrase(
    site: Site, tmp_path: Path
) -> None:
    first, file = host(tmp_path / "first", site.data), tmp_path / "backup"
    told = backup.backup(first, CHOSEN, quiet(first), file, models=False)
    assert told["encrypted"] is True and not file.with_name("backup.part").exists()
    held = file.read_bytes()
    assert not any(word in held for word in (b"ustar", b"backup.json", b"appliance.toml", b"host"))
    second, mine = host(tmp_path / "second", tmp_path / "elsewhere"), officer(site, tmp_path)
    (tmp_path / "other.pem").write_bytes(ecdsa.private_pem(forge.new_key()))
    (tmp_path / "cut").write_bytes(held[:-100])
    for path, opening in (
        (file, Opening()), (file, Opening(str(tmp_path / "other.pem"))),
        (tmp_path / "cut", mine),
    ):  # fmt: skip
        code = code_of(lambda p=path, o=opening: backup.restore(second, CHOSEN, p, opening=o))
        assert code == "backup_sealed"
        assert not second.data.exists() and not second.data.with_name("elsewhere.part").exists()
    assert backup.drill(second, CHOSEN, file, mine)["entries"] > 5
    backup.restore(second, CHOSEN, file, opening=mine)
    assert code_of(lambda: used(second.data)) == "host_key_locked"
    host_key.unlock(second.data, WORDS)
    try:
        with open_services(second.data, config=SMALL, clock=site.clock) as services:
            check(services)
    finally:
        host_key.lock(second.data)


def used(data: Path) -> None:
    with open_services(data, config=SMALL):
        pass


def check(services: Services) -> None:
    """Everything is there, erased texts are not, and a new erasure works."""
    answer = services.kept.find("place")
    assert answer is not None and answer.text.decode() == canary("kept")
    files = services.batches.store._files
    (part,) = files.parts((services.data / "file").read_text())
    assert part.text.decode().strip() == canary("batch")
    shelf = services.retrieval.library.get("c").collection
    (passage,) = Searcher(shelf).search(ADMIN, canary("document"), 5, by="bm25").passages
    assert passage.text == canary("document")
    begun = {e.body.get("request_id"): e.seq for e in services.reader.tail(50)
             if e.kind == "intent"}  # fmt: skip
    with pytest.raises(AuditRefused):
        services.reader.content(begun[REQUEST], "prompt")
    seq = begun[f"{REQUEST}-b"]
    assert services.reader.content(seq, "prompt").decode() == canary("log prompt")
    done = services.erasure.erase(f"{REQUEST}-b", "uid:0", "asked for")
    assert [one.file for one in done.backups] == ["backup"]  # it still holds the text
    with pytest.raises(AuditRefused):
        services.reader.content(seq, "prompt")
    assert services.agreement.standing.alarms() == []


def test_a_backup_of_an_older_release_restores(tmp_path: Path) -> None:
    place = host(tmp_path / "first", tmp_path / "data")
    said = {"data/a/b": "769a4e6d0003189c7e96c5d9b7e810a0d11c3a12832527ec94b0f86d277f51ca"}
    with tarfile.open(tmp_path / "old", "w") as archive:
        for name, content in (
            ("backup.json", json.dumps({"format": 1, "release": "0.1.0", "files": said}).encode()),
            ("data/a/b", b"xy"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert backup.restore(place, CHOSEN, tmp_path / "old")["release"] == "0.1.0"
    assert (place.data / "a" / "b").read_bytes() == b"xy"
