"""Kept prefixes of the KV cache: a radix tree over token ids. Pure.

Rules:
- A node is a run of tokens at fixed positions, with a sequence id of its own in the KV cache; its
  cells stay there until it is evicted, even while others use them.
- A node belongs to a scope: the adapter that computed it, the app whose request it was, or "" for a
  prefix that an admin registered, and whether tiles multiplied it. A lookup sees its own adapter,
  its own app and "" only, so that no app can time what another asked.
- The prefix of a running sequence stays; of the rest the least recently used tail goes first,
  registered prefixes last.
- Every cell in use makes every step a little longer, so few tails are kept at first: more when a
  prompt begins like one that was dropped, fewer when nothing kept is used for long.

After SGLang's RadixAttention (Zheng et al., 2024), with llama.cpp's shared cells in place of pages.
"""

from collections import deque
from collections.abc import Sequence as ReadOnly
from dataclasses import dataclass, field
from typing import TypeAlias

from appliance.engine.sequence import Sequence

SHORTEST = 16  # for fewer tokens it is not worth waiting until another has computed them

FEWEST = 4  # idle tails that are kept in any case


@dataclass(frozen=True)
class CopyCells:
    """Let sequence id `target` share the cells of `source` at positions [start, end)."""

    source: int
    target: int
    start: int
    end: int


@dataclass(frozen=True)
class Drop:
    """Sequence id `slot` gives up its cells at positions [start, end); end -1 means all."""

    slot: int
    start: int = 0
    end: int = -1


Operation: TypeAlias = CopyCells | Drop
Scope: TypeAlias = tuple[str, str, str, bool]
"""An adapter, an app or "", the digest of the documents that the app may read or "", tiles."""


def scope_of(sequence: Sequence, at: int) -> tuple[Scope, int]:
    """The scope of a sequence's token at a position, and where its next scope begins."""
    public, tiles = at < sequence.shared, at < sequence.tiled
    bounds = [bound for bound in (sequence.shared, sequence.tiled) if bound > at]
    app = ("", "") if public else (sequence.scope, sequence.readable)
    return (sequence.adapter, *app, tiles), min(bounds, default=len(sequence.tokens))


@dataclass(eq=False)
class Node:
    """A run of tokens from position `start` on.

    Attributes:
        id: sequence id that holds the cells.
        users: running sequences that stand on this node or below it.
        used_at: logical time of the last use.
    """

    id: int
    scope: Scope
    start: int
    tokens: list[int]
    parent: "Node | None"
    children: dict[tuple[Scope, int], "Node"] = field(default_factory=dict)
    users: int = 0
    used_at: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


class Prefixes:
    """The tree.

    Args:
        ids: sequence ids that nodes may take; none means that nothing is kept.
        operations: where copies and drops are noted, in order.
    """

    def __init__(self, ids: ReadOnly[int], operations: list[Operation]) -> None:
        self._ids = list(ids)
        self._capacity = len(self._ids)
        self._operations = operations
        self._root = Node(-1, ("", "", "", False), 0, [], None)
        self._nodes: set[Node] = set()
        self._time = 0
        self._dropped = deque[tuple[Scope, list[int]]](maxlen=len(ids))
        self._unused = 0  # nodes made since a kept one was used
        self.most = FEWEST  # idle tails of apps, of which there are more only until the next node
        self.cells = 0  # in all nodes
        self.idle = 0  # in nodes that no running sequence stands on

    def match(self, sequence: Sequence) -> tuple[int, int]:
        """The length of the longest kept prefix of a sequence, and how many of its tokens are idle.

        The last token of the sequence is never counted: its logits are needed.
        """
        node, length = self._find(sequence)
        step: Node | None = node
        idle, end = 0, length
        while step is not None:
            if step.users == 0:
                idle += end - step.start
            end, step = step.start, step.parent
        return length, idle

    def alone(self, node: Node) -> int:
        """Tokens from the root to the end of `node` that only one sequence uses."""
        step: Node | None = node
        cells = 0
        while step is not None and step.users == 1:
            cells, step = cells + len(step.tokens), step.parent
        return cells

    def take(self, sequence: Sequence, slot: int) -> Node:
        """Give `slot` the kept prefix of the sequence; the node that it stands on, to `leave` in
        the end.
        """
        node, length = self._find(sequence)
        self._learn(sequence, length, used=node.users == 0 and length >= SHORTEST)
        self._enter(node)
        if length < node.end:
            node = self._split(node, length)
        path = node
        while path.parent is not None:
            self._operations.append(CopyCells(path.id, slot, path.start, path.end))
            path = path.parent
        return node

    def extend(self, node: Node, sequence: Sequence, slot: int, end: int) -> tuple[Node, bool]:
        """Keep a sequence's computed tokens from the end of `node`, on which it is, to `end`.

        Returns the node that it stands on now, and whether that is at `end`: not so if another
        sequence has computed the same in the meantime, or no id is left.
        """
        while node.end < end:
            start = node.end
            scope, bound = scope_of(sequence, start)
            tokens = sequence.tokens[start : min(bound, end)]
            if (scope, tokens[0]) in node.children:
                return node, False
            if not (node.users == 1 and node.scope == scope and not node.children and node.parent):
                identity = self._new_id()
                if identity is None:
                    return node, False
                below = Node(identity, scope, start, [], node, users=1)
                node.children[scope, tokens[0]] = below
                self._nodes.add(below)
                node = below
            self._operations.append(CopyCells(slot, node.id, start, start + len(tokens)))
            node.tokens += tokens
            self.cells += len(tokens)
        self._touch(node)
        return node, True

    def leave(self, node: Node) -> None:
        self._touch(node)
        step: Node | None = node
        while step is not None:
            step.users -= 1
            if step.users == 0:
                self.idle += len(step.tokens)
            step = step.parent

    def evict(self, count: int) -> int:
        """Drop up to `count` idle tokens from the end of the least useful branch; their number."""
        leaf = self._least_useful()
        if leaf is None:
            return 0
        count = min(count, len(leaf.tokens))
        self._operations.append(Drop(leaf.id, leaf.end - count, leaf.end))
        del leaf.tokens[len(leaf.tokens) - count :]
        self.cells -= count
        self.idle -= count
        if not leaf.tokens:
            self._unlink(leaf)
        return count

    def _find(self, sequence: Sequence) -> tuple[Node, int]:
        tokens, node, at = sequence.tokens, self._root, 0
        last = sequence.reusable
        while at < last:
            scope, bound = scope_of(sequence, at)
            child = node.children.get((scope, tokens[at]))
            if child is None:
                break
            node, agreed = child, common(child.tokens, tokens[at : min(bound, last)])
            at += agreed
            if agreed < len(child.tokens):
                break
        return node, at

    def _enter(self, node: Node) -> None:
        self._touch(node)
        step: Node | None = node
        while step is not None:
            if step.users == 0:
                self.idle -= len(step.tokens)
            step.users += 1
            step = step.parent

    def _split(self, node: Node, at: int) -> Node:
        """The upper part, where the sequence that has entered `node` is now; the parent when no id
        is left.
        """
        parent = node.parent
        if parent is None:
            raise RuntimeError("the root is not split")
        identity = self._new_id()
        if identity is None:
            upper = parent
        else:
            upper = Node(identity, node.scope, node.start, node.tokens[: at - node.start], parent)
            upper.users = node.users
            self._nodes.add(upper)
            parent.children[node.scope, upper.tokens[0]] = upper
            node.parent, node.start, node.tokens = upper, at, node.tokens[at - node.start :]
            upper.children[node.scope, node.tokens[0]] = node
            self._operations.append(CopyCells(node.id, upper.id, upper.start, at))
            self._operations.append(Drop(node.id, upper.start, at))
        node.users -= 1
        if node.users == 0:
            self.idle += len(node.tokens)
        self._touch(upper)
        return upper

    def _new_id(self) -> int | None:
        """A free sequence id, or that of the least useful branch's last node."""
        self._unused += 1
        if self._unused >= 2 * self._capacity:
            self.most, self._unused = max(FEWEST, self.most // 2), 0
        while self._idle_tails() > self.most:
            self._drop()
        if not self._ids:
            self._drop()
        return self._ids.pop() if self._ids else None

    def _drop(self) -> None:
        leaf = self._least_useful()
        if leaf is None:
            return
        parts, step = [leaf.tokens], leaf.parent
        while step is not None:
            parts.append(step.tokens)
            step = step.parent
        self._dropped.append((leaf.scope, [t for part in reversed(parts) for t in part]))
        self.evict(len(leaf.tokens))

    def _learn(self, sequence: Sequence, length: int, *, used: bool) -> None:
        """Note how much was kept for a sequence, and whether that had been idle."""
        if used:
            self._unused = 0
        scopes = {scope_of(sequence, at)[0] for at in (0, sequence.shared, sequence.tiled)}
        for entry in self._dropped:
            scope, tokens = entry
            if scope in scopes and common(tokens, sequence.tokens) >= length + SHORTEST:
                self.most, self._unused = min(2 * self.most, self._capacity), 0
                self._dropped.remove(entry)
                return

    def _idle_tails(self) -> int:
        return sum(not (n.users or n.children or n.scope[1] == "") for n in self._nodes)

    def _least_useful(self) -> Node | None:
        idle = (n for n in self._nodes if n.users == 0 and not n.children)
        return min(idle, key=lambda n: (n.scope[1] == "", n.used_at), default=None)

    def _unlink(self, leaf: Node) -> None:
        self._nodes.remove(leaf)
        self._ids.append(leaf.id)
        if leaf.parent is not None:
            siblings = leaf.parent.children
            del siblings[next(key for key, node in siblings.items() if node is leaf)]

    def _touch(self, node: Node) -> None:
        self._time += 1
        step: Node | None = node
        while step is not None:
            step.used_at = self._time
            step = step.parent


def common(one: ReadOnly[int], other: ReadOnly[int]) -> int:
    """Count the leading tokens that agree."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:  # the first `low` agree; the answer is at most `high`
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
