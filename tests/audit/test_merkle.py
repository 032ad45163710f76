"""RFC 6962 trees against a naive implementation and the Certificate Transparency vectors."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    Subtree,
    consistency_proof,
    fold,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

# The test tree of the Certificate Transparency reference implementation.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
CT_CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word; `leaves` are leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*naive_proof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % i) for i in range(count)]


def stored(leaves: Sequence[bytes]) -> Subtree:
    def at(level: int, index: int) -> bytes:
        found = leaves[index << level : (index + 1) << level]
        assert len(found) == 1 << level
        return fold(found)

    return at


def frontier_of(leaves: Sequence[bytes]) -> Frontier:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier


def test_certificate_transparency_vectors() -> None:
    leaves = list(map(leaf_hash, CT_LEAVES))
    roots = [frontier_of(leaves[:n]).root().hex() for n in range(9)]
    assert roots == CT_ROOTS
    for (index, size), path in CT_INCLUSION.items():
        assert [h.hex() for h in inclusion_proof(index, size, stored(leaves))] == path
    for (old, new), path in CT_CONSISTENCY.items():
        assert [h.hex() for h in consistency_proof(old, new, stored(leaves))] == path


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == bytes.fromhex(CT_ROOTS[0])


def test_a_leaf_is_never_a_node() -> None:
    left, right = leaves_of(2)
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", [*range(1, 70), 255, 256, 257, 511, 513, 700])
def test_proofs_equal_the_naive_ones(size: int) -> None:
    leaves = leaves_of(size)
    assert frontier_of(leaves).root() == naive_root(leaves)
    for index in {0, 1, size // 3, size // 2, size - 2, size - 1} & set(range(size)):
        assert inclusion_proof(index, size, stored(leaves)) == naive_path(index, leaves)
        old = index + 1
        assert consistency_proof(old, size, stored(leaves)) == naive_proof(old, leaves)


@given(st.integers(1, 600), st.data())
def test_proofs_verify(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    root, old_root = naive_root(leaves), naive_root(leaves[: index + 1])
    path = inclusion_proof(index, size, stored(leaves))
    assert verify_inclusion(leaves[index], index, size, path, root)
    link = consistency_proof(index + 1, size, stored(leaves))
    assert verify_consistency(index + 1, size, link, old_root, root)


@given(st.integers(2, 100), st.data())
def test_forged_proofs_do_not_verify(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    root = naive_root(leaves)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(index, size, stored(leaves))
    other = data.draw(st.integers(0, size - 1))
    assume(other != index)
    place = data.draw(st.integers(0, len(path) - 1))
    bad = [*path[:place], bytes(32), *path[place + 1 :]]
    leaf = leaves[index]
    assert not verify_inclusion(leaves[other], index, size, path, root)
    assert not verify_inclusion(leaf, other, size, path, root)
    assert not verify_inclusion(leaf, index, size, bad, root)
    assert not verify_inclusion(leaf, index, size, path[:-1], root)
    assert not verify_inclusion(leaf, index, size, [*path, bytes(32)], root)
    assert not verify_inclusion(leaf, index, size, path, bytes(32))


@given(st.integers(2, 100), st.data())
def test_forged_histories_do_not_verify(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    old = data.draw(st.integers(1, size - 1))
    root, old_root = naive_root(leaves), naive_root(leaves[:old])
    path = consistency_proof(old, size, stored(leaves))
    place = data.draw(st.integers(0, len(path) - 1))
    bad = [*path[:place], bytes(32), *path[place + 1 :]]
    assert not verify_consistency(old, size, bad, old_root, root)
    assert not verify_consistency(old, size, path[:-1], old_root, root)
    assert not verify_consistency(old, size, [*path, bytes(32)], old_root, root)
    assert not verify_consistency(old, size, path, bytes(32), root)
    assert not verify_consistency(old, size, path, old_root, bytes(32))
    changed = naive_root([bytes(32), *leaves[1:old]])
    assert not verify_consistency(old, size, path, changed, root)


def test_sizes_and_places_outside_the_tree_do_not_verify() -> None:
    (leaf,) = leaves_of(1)
    assert verify_inclusion(leaf, 0, 1, [], leaf)
    assert not verify_inclusion(leaf, 1, 1, [], leaf)
    assert not verify_inclusion(leaf, -1, 1, [], leaf)
    assert not verify_inclusion(leaf, 0, 0, [], leaf)
    assert verify_consistency(1, 1, [], leaf, leaf)
    assert not verify_consistency(0, 1, [], EMPTY_ROOT, leaf)
    assert not verify_consistency(2, 1, [], leaf, leaf)
    assert not verify_consistency(1, 1, [], leaf, bytes(32))
    assert not verify_consistency(1, 1, [leaf], leaf, leaf)
    assert not verify_consistency(3, 5, [], leaf, leaf)


@pytest.mark.parametrize("size", [0, 1, 5, 255, 256, 257, 1000])
def test_a_frontier_taken_up_again_goes_on_alike(size: int) -> None:
    leaves = leaves_of(size + 10)
    frontier = Frontier.at(size, stored(leaves))
    untouched = frontier.copy()
    for leaf in leaves[size:]:
        frontier.append(leaf)
    assert frontier.root() == naive_root(leaves)
    assert untouched.root() == naive_root(leaves[:size])


def test_nodes_of_every_eighth_level_come_out_when_complete() -> None:
    size = 2 * 65_536 + 300
    leaves = leaves_of(size)
    frontier = Frontier()
    nodes = {}
    for leaf in leaves:
        nodes.update({(level, index): node for level, index, node in frontier.append(leaf)})
    assert set(nodes) == {(8, i) for i in range(513)} | {(16, 0), (16, 1)}
    at = stored(leaves)
    assert all(nodes[place] == at(*place) for place in [(8, 0), (8, 1), (8, 512), (16, 0), (16, 1)])


@given(st.lists(st.integers(0, 700), max_size=6))
def test_many_leaves_at_once_make_the_same_tree(counts: list[int]) -> None:
    one, many, seq = Frontier(), Frontier(), 0
    for count in counts:
        leaves = [leaf_hash(seq.to_bytes(4)) for seq in range(seq, seq + count)]
        seq += count
        expected = [node for leaf in leaves for node in one.append(leaf)]
        assert sorted(many.extend(leaves)) == sorted(expected)
        assert (many.size, many.peaks(), many.root()) == (one.size, one.peaks(), one.root())
