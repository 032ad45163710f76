"""The tree of kept prefixes against a plain list of paths, with a cache that follows it."""

from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.engine.prefixes import (
    FEWEST,
    SHORTEST,
    CopyCells,
    Drop,
    Node,
    Operation,
    Prefixes,
    common,
)
from appliance.engine.sequence import Sequence
from appliance.engine.text.textstream import TextStream
from appliance.types import Sampling

SLOTS = 3
HEAD = tuple(range(SHORTEST))


def sequence(
    tail: tuple[int, ...],
    scope: str = "a",
    shared: int = 0,
    adapter: str = "",
    tiled: int = 0,
) -> Sequence:
    tokens = [*HEAD, *tail]
    return Sequence(
        0, tokens, Sampling(), 1, TextStream(), scope=scope, shared=shared, adapter=adapter,
        tiled=min(tiled, len(tokens)),
    )  # fmt: skip


@dataclass
class Cache:
    """What llama.cpp would hold: for each sequence id the tokens at its positions."""

    ids: dict[int, dict[int, int]] = field(default_factory=dict)

    def follow(self, operations: list[Operation]) -> None:
        for do in operations:
            if isinstance(do, CopyCells):
                source, target = self.ids[do.source], self.ids.setdefault(do.target, {})
                for position in range(do.start, do.end):
                    assert position not in target
                    target[position] = source[position]
            else:
                held = self.ids.get(do.slot, {})
                for position in [p for p in held if do.start <= p and not 0 <= do.end <= p]:
                    del held[position]
        operations.clear()


@dataclass(frozen=True)
class Move:
    what: str  # run, end, evict
    slot: int = 0
    tail: tuple[int, ...] = ()
    scope: str = "a"
    shared: int = 0
    adapter: str = ""
    tiled: int = 0
    count: int = 1


def tails() -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, 1), min_size=1, max_size=8).map(tuple)


shared = st.sampled_from([0, SHORTEST])
moves = st.one_of(
    st.builds(
        Move,
        st.just("run"),
        st.integers(0, SLOTS - 1),
        tails(),
        st.sampled_from("ab"),
        shared,
        st.sampled_from(["", "", "lora"]),
        st.sampled_from([0, 0, SHORTEST - 2, SHORTEST, SHORTEST + 2]),
    ),
    st.builds(Move, st.just("end"), st.integers(0, SLOTS - 1)),
    st.builds(Move, st.just("evict"), count=st.integers(1, 9)),
)


class Player:
    """Runs sequences over the tree; the cache and a list of computed paths are the truth."""

    def __init__(self, make: type[Prefixes], ids: int) -> None:
        self.operations: list[Operation] = []
        self.tree = make(range(SLOTS, SLOTS + ids), self.operations)
        self.cache = Cache()
        self.running: dict[int, tuple[Sequence, Node]] = {}
        self.computed: set[tuple[str, str, int, tuple[int, ...]]] = set()

    def play(self, todo: list[Move]) -> None:
        for move in todo:
            if move.what == "run" and move.slot not in self.running:
                self.run(move)
            elif move.what == "end" and move.slot in self.running:
                self.tree.leave(self.running.pop(move.slot)[1])
                self.operations.append(Drop(move.slot))
            elif move.what == "evict":
                before = self.tree.idle
                dropped = self.tree.evict(move.count)
                assert self.tree.idle == before - dropped
                assert dropped or not before, "idle cells could not be evicted"
            self.check()
        for _, node in self.running.values():
            self.tree.leave(node)
        assert self.tree.idle == self.tree.cells
        while self.tree.cells:
            assert self.tree.evict(100)

    def run(self, move: Move) -> None:
        new = sequence(move.tail, move.scope, move.shared, move.adapter, move.tiled)
        tiled = new.tiled
        length, _ = self.tree.match(new)
        begun = tuple(new.tokens[:length])
        if length:
            seen = [
                path
                for adapter, scope, tiles, path in self.computed
                if adapter == move.adapter and (scope == move.scope or length <= move.shared)
                if min(tiles, length) == min(tiled, length)
            ]
            assert any(p[:length] == begun for p in seen), "it was never computed in this scope"
        node = self.tree.take(new, move.slot)
        self.cache.follow(self.operations)
        assert node.end <= length
        held = self.cache.ids.get(move.slot, {})
        assert [held[p] for p in sorted(held)] == new.tokens[: node.end], "stale cells"
        self.cache.ids.setdefault(move.slot, {}).update(enumerate(new.tokens))
        self.computed.add((move.adapter, move.scope, tiled, tuple(new.tokens)))
        node, _ = self.tree.extend(node, new, move.slot, len(new.tokens))
        self.running[move.slot] = (new, node)

    def check(self) -> None:
        self.cache.follow(self.operations)
        nodes = self.tree._nodes
        assert self.tree.cells == sum(len(n.tokens) for n in nodes)
        assert self.tree.idle == sum(len(n.tokens) for n in nodes if not n.users)
        for node in nodes:
            held = self.cache.ids[node.id]
            assert [held.get(p) for p in range(node.start, node.end)] == node.tokens
            assert len(held) == len(node.tokens), "a node holds cells that it does not know"
            assert node.parent is not None and node.parent.end == node.start
        for of, node in self.running.values():
            step: Node | None = node
            while step is not None and step.parent is not None:
                assert step in nodes and step.users, "a prefix in use was evicted"
                assert of.tokens[step.start : step.end] == step.tokens
                step = step.parent


@settings(deadline=None, max_examples=300)
@given(st.lists(moves, max_size=40), st.integers(0, 6))
def test_what_is_reused_is_what_was_computed(todo: list[Move], ids: int) -> None:
    Player(Prefixes, ids).play(todo)


class ForgetsTheScope(Prefixes):
    def _find(self, sequence: Sequence) -> tuple[Node, int]:
        sequence.scope = "a"
        return super()._find(sequence)


class ForgetsTheAdapter(Prefixes):
    def _find(self, sequence: Sequence) -> tuple[Node, int]:
        sequence.adapter = ""
        return super()._find(sequence)


class ForgetsTheTiles(Prefixes):
    def _find(self, sequence: Sequence) -> tuple[Node, int]:
        sequence.tiled = 0
        return super()._find(sequence)


class EvictsWhatIsUsed(Prefixes):
    def _least_useful(self) -> Node | None:
        leaves = (n for n in self._nodes if not n.children)
        return min(leaves, key=lambda n: n.used_at, default=None)


class MatchesOneTooMany(Prefixes):
    def match(self, sequence: Sequence) -> tuple[int, int]:
        length, idle = super().match(sequence)
        return length + (length > 0), idle


class KeepsTheLowerHalfTwice(Prefixes):
    def _split(self, node: Node, at: int) -> Node:
        upper = super()._split(node, at)
        if self._operations and isinstance(self._operations[-1], Drop):
            self._operations.pop()
        return upper


@pytest.mark.parametrize(
    "broken",
    [
        ForgetsTheScope,
        ForgetsTheAdapter,
        ForgetsTheTiles,
        EvictsWhatIsUsed,
        MatchesOneTooMany,
        KeepsTheLowerHalfTwice,
    ],
)
def test_a_broken_tree_is_caught(broken: type[Prefixes]) -> None:
    @settings(
        deadline=None,
        max_examples=300,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    @given(st.lists(moves, max_size=40), st.integers(1, 6))
    def check(todo: list[Move], ids: int) -> None:
        Player(broken, ids).play(todo)

    with pytest.raises((AssertionError, KeyError)):
        check()


def keep(tree: Prefixes, wanted: Sequence, slot: int = 0) -> None:
    node = tree.take(wanted, slot)
    tree.leave(tree.extend(node, wanted, slot, len(wanted.tokens))[0])


def test_the_last_token_is_always_computed() -> None:
    tree = Prefixes(range(3, 9), [])
    keep(tree, sequence((1, 2)))
    assert tree.match(sequence((1, 2)))[0] == SHORTEST + 1
    assert tree.match(sequence((1, 2, 3)))[0] == SHORTEST + 2


def test_an_app_sees_nothing_of_another_but_what_is_registered() -> None:
    tree = Prefixes(range(3, 9), [])
    keep(tree, sequence((1, 2, 3), "a", shared=SHORTEST))
    assert tree.match(sequence((1, 2, 3), "a", shared=SHORTEST))[0] == SHORTEST + 2
    assert tree.match(sequence((1, 2, 3), "b", shared=SHORTEST))[0] == SHORTEST
    assert tree.match(sequence((1, 2, 3), "b"))[0] == 0  # not the whole registered beginning
    assert tree.match(sequence((1, 2, 3), ""))[0] in {0, SHORTEST}


def test_an_adapter_sees_nothing_of_another_registered_or_not() -> None:
    tree = Prefixes(range(3, 9), [])
    keep(tree, sequence((1, 2, 3), "a", shared=SHORTEST, adapter="one"))
    assert tree.match(sequence((1, 2, 3), "a", shared=SHORTEST, adapter="one"))[0] == SHORTEST + 2
    assert tree.match(sequence((1, 2, 3), "b", shared=SHORTEST, adapter="one"))[0] == SHORTEST
    for adapter in ("", "two"):
        assert tree.match(sequence((1, 2, 3), "a", shared=SHORTEST, adapter=adapter)) == (0, 0)


def test_what_tiles_multiplied_is_for_those_that_they_multiply() -> None:
    tree = Prefixes(range(3, 9), [])
    keep(tree, sequence((1, 2, 3, 4), tiled=16))
    for tiled, reused in ((16, 18), (20, 16), (8, 8), (0, 0)):
        assert tree.match(sequence((1, 2, 9, 9), tiled=tiled))[0] == reused


def test_registered_prefixes_outlive_what_is_older_than_they() -> None:
    tree = Prefixes(range(3, 5), [])
    keep(tree, sequence((), "a", shared=SHORTEST))
    other = Sequence(0, list(range(100, 130)), Sampling(), 1, TextStream(), scope="b")
    keep(tree, other)
    assert tree.evict(1000) == 30
    assert tree.match(sequence((9,), "c", shared=SHORTEST))[0] == SHORTEST


def test_beginnings_of_an_app_that_agree_in_little_are_all_kept() -> None:
    """As the prompts of every chat template do: in the token that begins a message."""
    tree = Prefixes(range(3, 9), [])
    prompts = [[1, 2, *range(n, n + 40)] for n in (100, 200, 300)]
    for tokens in prompts:
        keep(tree, Sequence(0, tokens, Sampling(), 1, TextStream()))
    for tokens in prompts:
        assert tree.match(Sequence(0, [*tokens, 5], Sampling(), 1, TextStream()))[0] == 42
    assert tree.cells == 2 + 3 * 40


def prompt(number: int, scope: str = "a") -> Sequence:
    tokens = list(range(100 * number, 100 * number + 40))
    return Sequence(0, tokens, Sampling(), 1, TextStream(), scope=scope)


def kept(tree: Prefixes, count: int) -> list[int]:
    return [number for number in range(count) if tree.match(prompt(number))[0]]


def test_few_tails_are_kept_while_nothing_is_used_again() -> None:
    tree = Prefixes(range(3, 35), [])
    keep(tree, sequence((), "b", shared=SHORTEST))
    for number in range(20):
        keep(tree, prompt(number))
    assert kept(tree, 20) == list(range(20 - FEWEST - 1, 20))
    assert tree.match(sequence((9,), "c", shared=SHORTEST))[0] == SHORTEST  # the registered one


def test_more_are_kept_when_a_dropped_one_is_asked_for_and_fewer_when_none_is_used() -> None:
    tree = Prefixes(range(3, 35), [])
    for _ in range(4):
        for number in range(20):
            keep(tree, prompt(number))
    assert kept(tree, 20) == list(range(20))
    for number in range(20, 20 + 8 * 32):
        keep(tree, prompt(number))
    assert tree.most == FEWEST
    assert len(kept(tree, 400)) == FEWEST + 1


def test_what_an_app_asks_for_tells_nothing_of_what_was_dropped_of_another() -> None:
    tree = Prefixes(range(3, 35), [])
    for number in range(20):
        keep(tree, prompt(number))
    tree.take(prompt(0, "b"), 0)
    assert tree.most == FEWEST
    tree.take(prompt(0), 1)  # the control
    assert tree.most > FEWEST


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_common_counts_leading_agreement(one: list[int], other: list[int]) -> None:
    expected = 0
    while expected < min(len(one), len(other)) and one[expected] == other[expected]:
        expected += 1
    assert common(one, other) == expected


def test_what_was_computed_under_other_rights_is_not_reused() -> None:
    """A prompt with passages is of use to the same app with the same readable documents only."""
    tree = Prefixes(range(3, 9), [])
    first = sequence((1, 2, 3))
    first.readable = "rights"
    node = tree.take(first, 0)
    tree.extend(node, first, 0, len(first.tokens))
    for readable, found in (("rights", True), ("fewer", False), ("", False)):
        other = sequence((1, 2, 3))
        other.readable = readable
        assert bool(tree.match(other)[0]) is found
