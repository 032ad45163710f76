"""The stored tree, as proofs and the writer's edge read it."""

from pathlib import Path

import pytest

from appliance.audit import store
from appliance.audit.merkle import Frontier, fold, leaf_hash
from appliance.errors import AuditRefused
from tests.audit.logs import Intruder


def test_the_stored_tree_has_the_subtrees_of_the_leaves(tmp_path: Path) -> None:
    engine = store.open_log(tmp_path / "log.db")
    leaves = [leaf_hash(b'{"n":%d}' % n) for n in range(700)]
    frontier, nodes = Frontier(), []
    for leaf in leaves:
        nodes += frontier.append(leaf)
    rows = [(n, bytes(28) + n.to_bytes(4), leaf, b'{"n":%d}' % n) for n, leaf in enumerate(leaves)]
    with engine.begin() as connection:
        store.insert(connection, rows, nodes, [], (700, b"note"))
    with engine.connect() as connection:
        at = store.subtree(store.raw(connection))
        for level, index in [(0, 0), (0, 699), (3, 5), (7, 4), (8, 0), (8, 1), (9, 0)]:
            assert at(level, index) == fold(leaves[index << level : (index + 1) << level])
        assert Frontier.at(700, at).root() == frontier.root()
        with pytest.raises(AuditRefused, match="lacks hashes"):
            at(8, 2)
    engine.dispose()


def test_a_missing_hash_is_told(intruder: Intruder, victim: Path) -> None:
    intruder.sql("DELETE FROM leaf WHERE seq = 3")
    engine = store.open_log(victim / "log.db")
    with engine.connect() as connection, pytest.raises(AuditRefused):
        store.subtree(store.raw(connection))(2, 0)
    engine.dispose()
