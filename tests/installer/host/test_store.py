"""Copies: hashed on the way, resumed, read back; a stick that lies is found by name."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.host.manifest import Chunk, Part
from installer.host.problems import InstallError
from installer.host.store import Media, Store

BODY = bytes(range(256)) * 40
SIZES = (4000, 4000, 2240)


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture
def part(tmp_path: Path) -> Part:
    (tmp_path / "stick" / "blobs").mkdir(parents=True)
    chunks, at = [], 0
    for number, size in enumerate(SIZES):
        data = BODY[at : at + size]
        path = f"blobs/x.{number:03d}"
        (tmp_path / "stick" / path).write_bytes(data)
        chunks.append(Chunk(path, size, hashlib.sha256(data).hexdigest()))
        at += size
    return Part("x", "model", len(BODY), hashlib.sha256(BODY).hexdigest(), tuple(chunks))


@pytest.fixture
def media(tmp_path: Path) -> Media:
    return Media(tmp_path / "stick")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InstallError) as refused:
        call()
    return refused.value.code


def test_a_part_is_copied_once(part: Part, media: Media, store: Store) -> None:
    assert store.copy(media, part, quiet).copied == len(BODY)
    store.verify(part)
    assert store.path(part).read_bytes() == BODY
    assert store.copy(media, part, quiet).copied == 0


@pytest.mark.parametrize("there", [1, 3999, 4000, 4001, 8000, len(BODY) - 1])
def test_an_interrupted_copy_goes_on(part: Part, media: Media, store: Store, there: int) -> None:
    store.root.mkdir()
    store.path(part).with_suffix(".part").write_bytes(BODY[:there])
    assert store.copy(media, part, quiet).copied == len(BODY) - there
    store.verify(part)


def test_what_lies_there_and_is_wrong_is_copied_again(
    part: Part, media: Media, store: Store
) -> None:
    store.root.mkdir()
    store.path(part).with_suffix(".part").write_bytes(b"?" * 5000 + b"trailing" * 5000)
    store.copy(media, part, quiet)
    store.verify(part)


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_a_flipped_bit_names_its_chunk(part: Part, media: Media, store: Store, chunk: int) -> None:
    path = media.root / part.chunks[chunk].path
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    with pytest.raises(InstallError, match=f"x.00{chunk}") as refused:
        store.copy(media, part, quiet)
    assert refused.value.code == "file_changed"
    assert not store.path(part).exists()


def test_swapped_chunks_are_refused(part: Part, media: Media, store: Store) -> None:
    first, second = (media.root / chunk.path for chunk in part.chunks[:2])
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    assert refusal(lambda: store.copy(media, part, quiet)) == "file_changed"


def test_a_truncated_and_a_missing_chunk(part: Part, media: Media, store: Store) -> None:
    path = media.root / part.chunks[1].path
    path.write_bytes(path.read_bytes()[:-1])
    assert refusal(lambda: store.copy(media, part, quiet)) == "file_truncated"
    assert [code for _, code in media.missing([part])] == ["file_truncated"]
    path.unlink()
    assert refusal(lambda: store.copy(media, part, quiet)) == "file_missing"
    path.symlink_to(media.root / part.chunks[0].path)
    assert refusal(lambda: store.copy(media, part, quiet)) == "media_unreadable"


def test_a_misread_is_read_again(
    part: Part, media: Media, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies = iter([True, False, False, False, False])
    real = Media.open

    def sometimes(self: Media, chunk: Chunk) -> int:
        path = self.root / chunk.path
        if chunk is part.chunks[0] and next(lies):
            good = path.read_bytes()
            path.write_bytes(b"?" * chunk.size)
            fd = real(self, chunk)
            copy = path.with_suffix(".good")
            copy.write_bytes(good)
            copy.replace(path)  # the descriptor keeps the wrong bytes
            return fd
        return real(self, chunk)

    monkeypatch.setattr(Media, "open", sometimes)
    store.copy(media, part, quiet)
    store.verify(part)


def test_the_copy_is_what_counts(part: Part, media: Media, store: Store) -> None:
    store.copy(media, part, quiet)
    data = bytearray(BODY)
    data[5000] ^= 4
    store.path(part).write_bytes(data)
    assert refusal(lambda: store.verify(part)) == "file_changed"
    assert not store.has(part)  # it is copied anew next time


def test_an_unlisted_file_is_refused(part: Part, media: Media) -> None:
    listed = [chunk.path for chunk in part.chunks]
    media.check_listing(listed)
    (media.root / "blobs" / "autorun.inf").write_text("")
    with pytest.raises(InstallError, match=r"autorun\.inf") as refused:
        media.check_listing(listed)
    assert refused.value.code == "file_unlisted"


def test_a_link_and_a_stick_that_is_not_there(part: Part, media: Media, tmp_path: Path) -> None:
    (media.root / "d").symlink_to(tmp_path)
    assert refusal(lambda: media.check_listing([c.path for c in part.chunks])) == "file_unlisted"
    assert refusal(lambda: Media(tmp_path / "none").check_listing([])) == "media_missing"


def test_other_copies_are_removed(part: Part, media: Media, store: Store) -> None:
    store.copy(media, part, quiet)
    (store.root / ("0" * 64)).write_bytes(b"old")
    store.keep_only([part])
    assert [path.name for path in store.root.iterdir()] == [part.sha256]
