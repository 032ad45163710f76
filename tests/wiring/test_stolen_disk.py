"""A stolen disk: texts and keys that a program without the passphrase finds."""

import base64
import bz2
import contextlib
import gzip
import json
import lzma
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Final

import pysqlite3.dbapi2
import pytest

from appliance import config as config_tables
from appliance.advisor import shelf
from appliance.app import Services, initialise, open_services
from appliance.audit.files import LogFiles
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from appliance.auth import certificates
from appliance.auth.secret_file import read_secret
from appliance.clock import FixedClock
from appliance.config import load_config
from appliance.datasets import directory as datasets
from appliance.datasets.directory import Dataset, DatasetManifest
from appliance.datasets.items import Item
from appliance.datasets.labelling import Given
from appliance.errors import ApplianceError
from appliance.evals.store import OutcomeFiles, read_report
from appliance.host import at_rest, host_key
from appliance.jobs.store import JobStore, _update
from appliance.looks.answers import LookFiles
from appliance.looks.sealed_lines import SealedLines
from appliance.retrieval.access import ADMIN
from appliance.retrieval.search import Searcher
from appliance.serving.kept_answers import KeptAnswer
from appliance.trust.artifacts import signing
from appliance.trust.bytes.encrypting import encrypt
from appliance.tuning import exporting, teaching
from appliance.wiring import protection, schema
from tests.cli.conftest import run_command
from tests.conftest import CHECKOUT
from tests.governance.test_erasing import IN_CLEAR, IN_THE_LOG, REQUEST, canary, plant
from tests.smol import SMALL, quiet

WORDS = "correct horse battery"
Reader = Callable[[Services], str]

PLACES: Final = {
    "audit": "records' texts encrypted one by one; who asked which model when in clear",
    "appliance.db": "schema.SEALED encrypted; names, states, times, digests, signed statements",
    "site_mirror.db": "entries of other appliances' logs: commitments, no text",
    "site_looks.db": "ids, marks and verdicts of looks of other appliances: no text",
    "files.db": "parts of files and of batches encrypted one by one; names of models, counts",
    "collections": "schema.TEXTS encrypted; names, readers, sizes, digests",
    "models": "artifacts of texts encrypted; models, adapters and signatures as they came",
    "evaluations": "outcomes, pages, results, answers to sealed splits encrypted",
    "teaching": "answers and the dataset encrypted",
    "tuning": "the task with its examples encrypted; losses, weights and statements",
    "advice": "encrypted",
    "drift": "encrypted",
    "quantized": "weights",
    "trust": "signed by people",
    "keys": "encrypted under the host key, but for those of a lab",
    "tls": "encrypted under the host key; certificates",
    "logs": "no text of a request, by rule",
    "run": "the socket, and numbers of the disk",
    "appliance.toml": "configuration; names files of secrets, which lie under the host key",
    "backups.json": "names and times of backups",
    "lock": "empty",
}  # fmt: skip
"""Each place of a data directory: what lies encrypted in it, and what does not."""
TABLES: Final = {
    "appliance.db": (
        "agreement api_keys certificates deferred_items erasures_done forwarded incidents jobs"
        " kept_answers key_groups label_items label_queues labels look_items look_marks looks"
        " model_approvals models replays route_certificates route_monitors route_replays"
        " route_samples route_suspensions route_traffic seen_logs cosigned_heads shadow_answers"
        " task_pointers upstream_agreements upstream_approvals upstream_fingerprints used"
        " used_place spent spent_place travelling label_aside replay_differences"
    ),
    "files.db": "batches file_parts files",
    "collections/c.db": (
        "access chunks documents ingests metadata reports settings vectors versions"
    ),
    "audit/log.db": "checkpoint content handover leaf node span",
    "audit/keys.db": "dek",
}
"""The tables of each database: a new one must be looked at, and stand here."""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    initialise(tmp_path / "data", "lab", names=["localhost"])
    yield tmp_path / "data"
    host_key.lock(tmp_path / "data")


def dataset(word: str, place: str) -> Dataset:
    item = Item("i", "g", {"text": word}, expected="a")
    return Dataset(DatasetManifest(name=place, version=1), {"train": (item,)})


@contextlib.contextmanager
def opened(data: Path, aside: Path) -> Iterator[Services]:
    """On a directory that has taken a dataset into its store."""
    datasets.write(aside / "orders", dataset(canary("stored dataset"), "orders"))
    publisher = (data / "keys" / "lab" / "publisher.pem").read_bytes()
    signing.sign_directory(aside / "orders", publisher, quiet)
    done = run_command("dataset", "import", aside / "orders", "--id", "orders", data=data)
    assert done.status == 0, done.err
    with open_services(data, config=SMALL) as services:
        yield services


def fill(services: Services) -> dict[str, Reader]:
    """A canary in each place where a text can lie, and its owner's way to read it."""
    seq = plant(services)
    data, database = services.data, services.people._database
    kept = KeptAnswer(("r",), "asked", canary("kept answer").encode())
    services.kept.keep("place", "k1", kept, 1_000)

    def look_of(place: Path) -> LookFiles:
        kek = LogFiles(place / "audit").key_encryption_key()
        return LookFiles(place / "evaluations" / "9", kek)

    look = look_of(data)
    look.begin("gate")
    SealedLines(look.directory / "a.sealed", look.key).append([canary("gate outcome").encode()])
    services.labels.create("own", "/d", [Item("i", "g", {"text": "t"})], (canary("label"), "b"),
                           ("anna", "ben"))  # fmt: skip
    services.labels.set("own", Given("i", "anna", canary("label")), "uid:0")
    jobs = JobStore(database, services.clock)
    said = {name: json.dumps({"said": canary(f"job {name}")}) for name in ("params", "checkpoint")}
    job = jobs.create("selftest", "t", "uid:0", said["params"], served=False).id
    with database.begin() as connection:
        told = {"message": canary("job message"), "result": json.dumps(canary("job result"))}
        _update(connection, job, {"checkpoint": said["checkpoint"], "state": "failed", **told})
    file = services.batches.store._files.begin("k1", "batch", canary("file name"), 1 << 60)
    services.batches.store._files.append(file, 0, canary("batch line").encode() + b"\n", 1)
    services.batches.store._files.finish(file)
    datasets.write(data / teaching.DIRECTORY / "5" / teaching.DATASET,
                   dataset(canary("taught dataset"), "taught"))  # fmt: skip
    task = data / exporting.DIRECTORY / "6" / exporting.TASK
    task.mkdir(parents=True)
    (task / "examples.jsonl").write_text(canary("task example"))
    encrypt(task)
    (data / shelf.DIRECTORY).mkdir()
    advice = data / shelf.DIRECTORY / "t.json"
    advice.write_bytes(at_rest.sealed(advice, canary("advice").encode()))
    files = OutcomeFiles(data / "evaluations" / "5")
    files._write("result.json", canary("result"))
    files.write_neighbours(canary("neighbours").encode())
    library = services.retrieval.library

    def stored(path: str) -> Reader:
        return lambda services: repr([*datasets.read(services.data / path).items])

    def item(services: Services) -> str:
        return repr(services.people.list(state="answered"))

    def outcomes(folder: str) -> Reader:
        return lambda services: repr(OutcomeFiles(services.data / folder / "5").read(0))

    def column(name: str) -> Reader:
        return lambda services: repr(getattr(JobStore(services.people._database, services.clock)
                                             .get(job), name))  # fmt: skip

    def found(services: Services) -> str:
        shelf_ = services.retrieval.library.get("c").collection
        return repr(Searcher(shelf_).search(ADMIN, canary("document"), 5, by="bm25"))

    assert library.names() == ["c"]
    return {
        "queue input": item, "queue answer": item, "document": found,
        "heading": found, "metadata": lambda s: repr(s.retrieval.library.get("c").collection
                                                     .kept_metadata(1)),
        "label queue": lambda s: repr(s.labels.input_of("mine", REQUEST)),
        "label": lambda s: repr(s.labels.get("own")),
        **{f"job {name}": column(name) for name in ("params", "checkpoint", "message", "result")},
        "kept answer": lambda s: repr(s.kept.find("place")),
        "gate outcome": lambda s: repr(SealedLines(look.directory / "a.sealed",
                                                   look_of(s.data).key).read()),
        "batch line": lambda s: repr([*s.batches.store._files.parts(file)]),
        "file name": lambda s: repr(s.batches.store._files.known(file)),
        "stored dataset": stored("models/orders"),
        "taught dataset": stored(f"{teaching.DIRECTORY}/5/{teaching.DATASET}"),
        "task example": lambda s: repr(at_rest.read(s.data / task.relative_to(data)
                                                    / "examples.jsonl")),
        "advice": lambda s: repr(at_rest.read(s.data / advice.relative_to(data))),
        "outcome expected": outcomes("evaluations"), "outcome answer": outcomes("evaluations"),
        "teaching answer": outcomes("teaching"),
        "report": lambda s: read_report(s.data / "evaluations", 5),
        "result": lambda s: at_rest.read(s.data / "evaluations" / "5" / "result.json").decode(),
        "neighbours": lambda s: at_rest.read(s.data / "evaluations" / "5" / "neighbours.json")
        .decode(),
        "log prompt": lambda s: repr(s.reader.content(seq, "prompt")),
    }  # fmt: skip


_PACKED: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": gzip.decompress, b"\xfd7zXZ": lzma.decompress, b"BZh": bz2.decompress,
    b"x": zlib.decompress,
}  # fmt: skip


def unpacked(content: bytes) -> Iterator[bytes]:
    """As it is, and unpacked."""
    yield content
    for begins, unpack in _PACKED.items():
        if content.startswith(begins):
            with contextlib.suppress(Exception):
                yield unpack(content)
    for body in re.findall(rb"[A-Za-z0-9+/]{16,}=*", content):
        with contextlib.suppress(ValueError):
            yield base64.b64decode(body)


def values(path: Path) -> Iterator[bytes]:
    """Each value of a database, whatever pages it lies on."""
    opened = pysqlite3.dbapi2.connect(f"file:{path}?mode=ro", uri=True)
    opened.text_factory = bytes
    tables = [n.decode() for (n,) in opened.execute("SELECT name FROM sqlite_master"
                                                    " WHERE type = 'table'")]  # fmt: skip
    for table in tables:
        for row in opened.execute(f'SELECT * FROM "{table}"'):
            yield from (value for value in row if isinstance(value, bytes))
    opened.close()


def search(image: Path, words: dict[str, str]) -> set[str]:
    """The places whose words a byte search finds: files, free pages, write-ahead logs, values."""
    found: set[str] = set()
    forms = {form: place for place, word in words.items()
             for form in (word.encode(), word.upper().encode(), word.encode("utf-16-le"))
             }  # fmt: skip
    any_of = re.compile(b"|".join(map(re.escape, forms)))
    for path in image.rglob("*"):
        if not path.is_file():
            continue
        held = [path.read_bytes()]
        if held[0].startswith(b"SQLite format 3"):
            held += values(path)
        for text in (text for one in held for text in unpacked(one)):
            found |= {forms[form] for form in any_of.findall(text)}
    return found


def imaged(data: Path, place: Path) -> Path:
    """A copy of the disk, with whatever runs on it running."""
    leave = shutil.ignore_patterns("*.sock", "ballast")
    return Path(shutil.copytree(data, place, ignore=leave))


def words_of(readers: dict[str, Reader]) -> dict[str, str]:
    logged = [f"{place} {text}" for place in IN_THE_LOG for text in ("prompt", "completion")]
    return {place: canary(place) for place in (*IN_CLEAR, *logged, *readers)}


def test_no_text_is_found_and_without_protection_each_is(data: Path, tmp_path: Path) -> None:
    protection.protect(data, WORDS)
    with opened(data, tmp_path / "aside") as services:
        readers = fill(services)
        image = imaged(data, tmp_path / "image")  # its write-ahead logs are not empty
        assert any(path.stat().st_size for path in image.rglob("*-wal"))
        said = {place: read(services) for place, read in readers.items()}
        done = services.erasure.erase(REQUEST, "uid:0", "asked for")
        assert done.places["evaluations"] == 2  # an erasure finds what lies encrypted
        gone = ("outcome answer", "outcome expected", "teaching answer", "report", "queue input")
        assert not [place for place in gone if canary(place) in readers[place](services)]
    words = words_of(readers)
    assert len(words) >= 20
    assert {p for p, text in said.items() if canary(p) not in text} == set()  # its owner reads all
    names = {"shadow pointer"}  # the digest of a pointer: no text
    assert search(image, words) == names and search(data, words) == set()
    host_key.lock(data)
    with pytest.raises(ApplianceError) as caught, open_services(image, config=SMALL):
        pass
    assert caught.value.code == "host_key_locked"
    shut = {place: read for place, read in readers.items() if place in ("advice", "task example")}
    for read in shut.values():
        with pytest.raises(ApplianceError) as caught:
            read(services)
        assert caught.value.code == "host_key_locked"


def test_what_an_older_release_left_in_plain_is_found_until_it_is_protected(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(at_rest, "cipher_of", lambda *_: at_rest.PLAIN)
        with opened(data, tmp_path / "aside") as services:
            readers = fill(services)
    words = words_of(readers)
    always = {place for place in words if place.startswith(("log ", "shadow ", "evidence "))}
    always |= {"kept answer", "gate outcome", "batch line", "file name"}  # by keys of their own
    assert search(data, words) == words.keys() - (always - {"shadow pointer"})
    protection.protect(data, WORDS)
    assert search(data, words) == {"shadow pointer"}
    with open_services(data, config=SMALL) as services:
        lost = {place for place, read in readers.items() if canary(place) not in read(services)}
        assert lost == set()


CONFIG: Final = """
[tls]
enabled = true
[metrics]
token = "scrape.token"
[upstreams.u]
urls = ["https://gpu-1.example"]
model = "m"
ca = "tls/ca.pem"
certificate = "tls/server.pem"
key = "tls/engines/key.pem"
api_key = "secrets/deep/er/engine.key"
[forward.f]
to = "tls://syslog.example:6514"
ca = "tls/ca.pem"
certificate = "tls/server.pem"
key = "keys/syslog.key"
[notify.n]
to = "https://hook.example/x"
ca = "tls/ca.pem"
certificate = "tls/server.pem"
key = "keys/hook.key"
token = "keys/hook.token"
[peers.p]
url = "https://other.example"
log_key = "k"
witness_key = "w"
ca = "tls/ca.pem"
certificate = "tls/server.pem"
key = "keys/peer.key"
[ldap.d]
urls = ["ldaps://dc.example"]
ca = "tls/ca.pem"
bind = "cn=a"
base = "dc=b"
password = "LINK"
"""
"""Each kind of secret that a configuration can name, at the root, deep, and behind a link."""


def test_no_secret_of_the_configuration_is_found_and_without_protection_each_is(
    data: Path, tmp_path: Path
) -> None:
    (data / "appliance.toml").write_text(CONFIG)
    config = load_config(data)
    names = set(config.secrets())
    kinds = {key.metadata["doc"] for table in vars(config_tables).values() if is_dataclass(table)
             for key in fields(table) if "0600" in key.metadata.get("doc", "")}  # fmt: skip
    assert len(names) == 9 and len(kinds) == 5  # of four keys the words are the same
    words = {name: canary(f"secret {name}") for name in names - {"tls/server.key"}}
    for name, word in words.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / ("keys/ad.password" if name == "LINK" else name)).write_text(word + "\n")
    (data / "LINK").symlink_to("keys/ad.password")
    certificates.replace_ca(data / "tls", FixedClock(), None)  # its key waits for its day
    waiting = (data / "tls" / "next" / "server.key").read_text().splitlines()[1]
    words["the next certificate's key"] = waiting
    before = imaged(data, tmp_path / "before")
    assert search(before, words) == words.keys()
    done = protection.protect(data, WORDS)
    assert {data / name for name in names - {"LINK"}} < {*done} and data / "LINK" not in done
    assert search(data, words) == set()
    for name, word in words.items():
        if name in names:
            assert read_secret(data, name) == word
            with host_key.plain_file(data / name) as place:
                assert place.read_text() == word + "\n"
    image = imaged(data, tmp_path / "image")
    host_key.lock(data)
    for place in (data, image):
        for name in words.keys() & names:
            with pytest.raises(ApplianceError) as caught:
                read_secret(place, name)
            assert caught.value.code == "host_key_locked"
    host_key.unlock(data, WORDS)
    protection.renew_host(data, WORDS)
    assert search(data, words) == set() and read_secret(data, "LINK") == words["LINK"]
    (data / "appliance.toml").write_text("")  # it names none of them any more
    protection.renew_host(data, WORDS)
    protection.unprotect(data)
    assert search(data, words) == words.keys()


class Cut(Exception):
    """A crash of the test."""


def test_a_new_kek_leaves_nothing_to_the_old_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut short at each step and resumed: whoever has the old key then reads none of the texts."""
    protection.protect(data, WORDS)
    with opened(data, tmp_path / "aside") as services:
        readers = fill(services)
        alias, witness = services.end_users.aliases.of("anna"), services.ring.witness.key
    log = LogFiles(data / "audit")
    old = log.key_encryption_key()

    def lost(place: Path) -> set[str]:
        with open_services(place, config=SMALL) as services:

            def said(read: Reader) -> str:
                with contextlib.suppress(Exception):
                    return read(services)
                return ""

            return {name for name, read in readers.items() if canary(name) not in said(read)}

    true = at_rest.TextCipher.open

    def opened_or_empty(cipher: at_rest.TextCipher, kept: bytes) -> bytes:
        try:
            return true(cipher, kept)
        except ApplianceError:
            return b"{}"

    def thief(place: Path) -> set[str]:
        image = imaged(data, place)
        host_key.take(image, host_key.held(data))
        host_key.replace(image / "audit" / "kek", old)
        with monkeypatch.context() as patched:  # which goes on where a text does not open
            patched.setattr(at_rest.TextCipher, "open", opened_or_empty)
            return lost(image)

    assert thief(tmp_path / "control") == set()
    for step in ("replace", "seal", "encrypt_artifact", "encrypt_job", "scrub"):
        with monkeypatch.context() as crash:

            def cut(*_: object, **__: object) -> None:
                raise Cut

            crash.setattr(host_key if step == "replace" else protection, step, cut)
            with pytest.raises(Cut):
                protection.renew_kek(data)
        assert len(log.key_encryption_key()) == len(old) * (1 if step == "replace" else 2)
        with pytest.raises(ApplianceError) as caught, open_services(data, config=SMALL):
            pass
        assert caught.value.code == "kek_renewing"
    protection.renew_kek(data)
    assert log.key_encryption_key().endswith(old)
    caplog.clear()
    assert lost(data) == set()
    assert "was changed" not in caplog.text  # log and database agree as before
    assert thief(tmp_path / "image") == readers.keys()
    with open_services(data, config=SMALL) as services:
        assert services.end_users.aliases.of("anna") == alias
        assert services.ring.witness.key == witness
        actions = [e.body["action"] for e in services.reader.search(Query(kind="admin")).entries]
    assert actions.count("protect_kek") == 6
    assert verify_log(data / "audit").ok


def test_each_place_and_table_stands_in_the_list(data: Path, tmp_path: Path) -> None:
    with open_services(data, config=SMALL) as services:
        fill(services)
    assert {path.name for path in data.iterdir()} <= PLACES.keys()
    named = re.compile(r'^DIRECTORY: Final = "(\w+)"|\bdata / "([\w.]+)"', re.MULTILINE)
    sources = "\n".join(path.read_text() for path in (CHECKOUT / "appliance").rglob("*.py"))
    assert {one or other for one, other in named.findall(sources)} <= PLACES.keys()
    for name, expected in TABLES.items():
        opened = pysqlite3.dbapi2.connect(f"file:{data / name}?mode=ro", uri=True)
        listed = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        assert {n for (n,) in opened.execute(listed)} == set(expected.split()), name
        opened.close()
    assert {path.relative_to(data).as_posix() for path in data.rglob("*.db")} == TABLES.keys()
    sealed = {table.name for table in schema.SEALED}
    assert sealed < set(TABLES["appliance.db"].split())
    part = (CHECKOUT / "docs" / "threat-model.md").read_text().split("### Someone who gets")[1]
    part = part.split("\n###")[0]
    for word in ("collections", "outcomes", "reports", "datasets", "labels", "jobs", "weights"):
        assert word in part, word
