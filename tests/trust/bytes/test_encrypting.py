"""Plain files of an older release are encrypted in place."""

from pathlib import Path

import pytest

from appliance.host import at_rest
from appliance.trust.bytes.encrypting import encrypt, encrypt_artifact, encrypt_job


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "kek").write_bytes(bytes(32))
    return tmp_path


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'{"said":"canary"}\n')
    return folder


def plain(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {p.relative_to(folder).as_posix() for p in found if b"canary" in p.read_bytes()}


def test_all_but_signatures_and_weights(data: Path) -> None:
    folder = made(data / "x", "a.json", "b/c.jsonl", "model.sig", "w.gguf")
    (folder / "a.json").chmod(0o400)
    (folder / "link").symlink_to(folder / "w.gguf")
    encrypt(folder)
    once = (folder / "a.json").read_bytes()
    encrypt(folder)
    assert plain(folder) == {"model.sig", "w.gguf", "link"}
    assert (folder / "a.json").read_bytes() == once
    assert (folder / "a.json").stat().st_mode & 0o777 == 0o400
    assert at_rest.read(folder / "b" / "c.jsonl") == b'{"said":"canary"}\n'
    encrypt(data / "none")


def test_artifacts_with_weights_stay_as_they_came(data: Path) -> None:
    model = made(data / "models" / "m", "model.gguf", "artifact.json")
    dataset = made(data / "models" / "d", "dataset.json", "train.jsonl")
    encrypt_artifact(model)
    encrypt_artifact(dataset)
    assert plain(model) == {"model.gguf", "artifact.json"} and plain(dataset) == set()


def test_lines_of_jobs_are_encrypted_one_by_one(data: Path) -> None:
    job = made(data / "evaluations" / "5", "000.jsonl", "report.html", "key", "a.sealed")
    with (job / "000.jsonl").open("ab") as file:
        file.write(at_rest.sealed_lines(job / "000.jsonl", [b"new"]))
    encrypt_job(job)
    encrypt_job(job)
    assert plain(job) == {"key", "a.sealed"}
    assert at_rest.read_lines(job / "000.jsonl") == [b'{"said":"canary"}', b"new"]
    assert at_rest.read(job / "report.html") == b'{"said":"canary"}\n'
