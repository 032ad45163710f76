"""A dataset on disk: written, read, signed, changed, refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from appliance.datasets import directory
from appliance.datasets.changes import without
from appliance.datasets.directory import DatasetManifest, read, rewrite, write
from appliance.errors import DatasetRefused, SignatureRefused
from appliance.trust.artifacts.signing import sign_directory, verify_directory
from tests.datasets.examples import dataset, orders
from tests.trust import forge


def pair() -> tuple[bytes, bytes]:
    key = forge.new_key()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def silent(_phase: str, _done: int, _total: int) -> None:
    pass


def made(tmp_path: Path) -> Path:
    path = tmp_path / "orders"
    write(path, dataset(orders(60)))
    return path


def refused(path: Path) -> str:
    with pytest.raises(DatasetRefused) as found:
        read(path)
    return found.value.code


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert read(path) == dataset(orders(60))
    assert {p.name for p in path.iterdir()} == {
        "dataset.json", "train.jsonl", "dev.jsonl", "certify.jsonl", "test.jsonl",
    }  # fmt: skip
    facts = read(path).facts()
    assert facts.kind == "dataset" and sum(facts.items.values()) == 60


def test_the_same_items_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    write(first, dataset(orders(60)))
    write(second, dataset(orders(60)[::-1]))
    assert all((second / p.name).read_bytes() == p.read_bytes() for p in first.iterdir())


def test_a_directory_with_something_in_it_is_not_overwritten(tmp_path: Path) -> None:
    path = made(tmp_path)
    before = (path / "train.jsonl").read_bytes()
    with pytest.raises(DatasetRefused) as found:
        write(path, dataset(orders(9)))
    assert found.value.code == "dataset_exists"
    assert (path / "train.jsonl").read_bytes() == before


def test_it_is_signed_like_any_artifact_and_a_change_is_told(tmp_path: Path) -> None:
    path = made(tmp_path)
    private, public = pair()
    sign_directory(path, private, silent)
    verify_directory(path, [public], silent)
    lines = (path / "test.jsonl").read_bytes().splitlines(keepends=True)
    (path / "test.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(SignatureRefused) as found:
        verify_directory(path, [public], silent)
    assert found.value.code == "file_changed"


def test_a_change_takes_the_signature_and_keeps_other_files(tmp_path: Path) -> None:
    path = made(tmp_path)
    (path / "notes").mkdir()
    (path / "notes" / "LICENCE.txt").write_text("ours")
    sign_directory(path, pair()[0], silent)
    rewrite(path, without(read(path), ["w00007"]))
    assert not (path / "model.sig").exists()
    assert (path / "notes" / "LICENCE.txt").read_text() == "ours"
    found = read(path)
    assert found.manifest.version == 2
    assert sum(1 for _ in found.items) == 59
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("*.old"))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"format":2,"version":1,"name":"x"}',
        '{"format":1,"version":0,"name":"x"}',
        '{"format":1,"version":1,"name":""}',
        '{"format":1,"version":1,"name":"x","more":1}',
        '{"format":1,"version":1,"name":"x","name":"y"}',
        "\ufeff{}",
        " " * 70_000,
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, text: str) -> None:
    path = made(tmp_path)
    (path / "dataset.json").write_text(text)
    assert refused(path) == "dataset_malformed"


def add(path: Path, split: str, **changes: object) -> None:
    line = json.loads((path / "train.jsonl").read_text().splitlines()[0])
    line |= changes
    line = {k: v for k, v in line.items() if v is not None}
    with (path / f"{split}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def test_inconsistent_splits_are_refused(tmp_path: Path) -> None:
    cases: tuple[tuple[str, dict[str, object], str], ...] = (
        ("test", {}, "item_duplicate"),
        ("test", {"id": "new"}, "group_in_two_splits"),
        ("test", {"id": "new", "expected": None}, "item_invalid"),
        ("unlabelled", {"id": "new"}, "item_invalid"),
        ("dev", {"id": "new", "group": ""}, "group_missing"),
    )
    for number, (split, changes, code) in enumerate(cases):
        path = tmp_path / str(number)
        write(path, dataset(orders(60)))
        add(path, split, **changes)
        assert refused(path) == code


def test_an_unlabelled_item_may_be_of_any_group(tmp_path: Path) -> None:
    path = made(tmp_path)
    add(path, "unlabelled", id="new", expected=None)
    assert len(read(path).splits["unlabelled"]) == 1


def test_what_is_no_dataset(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == "dataset_unreadable"
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty") == "dataset_unreadable"
    (tmp_path / "empty" / "dataset.json").write_bytes(DatasetManifest("x").document())
    assert refused(tmp_path / "empty") == "dataset_malformed"


def test_links_are_refused_as_in_any_artifact(tmp_path: Path) -> None:
    path = made(tmp_path)
    (path / "test.jsonl").unlink()
    (path / "test.jsonl").symlink_to("/etc/passwd")
    with pytest.raises(SignatureRefused) as found:
        read(path)
    assert found.value.code == "file_symlink"


def test_a_rewrite_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    path = made(tmp_path)
    found = read(path)
    broken = replace(found, splits={**found.splits, "dev": found.splits["train"]})
    with pytest.raises(DatasetRefused):
        rewrite(path, broken)
    assert read(path) == found
    assert directory.split_file("dev") == "dev.jsonl"
