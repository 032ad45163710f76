"""The decoder in 32-bit floats, with a pair of narrow matrices beside each linear layer.

Rules: weights keep the layout of the GGUF file, positions are turned as llama.cpp turns them, so
that what is trained is what is served; the base never changes; the beginning that all rows share
is computed once for a batch, and its gradient flows from every row.

Sources: LoRA (Hu et al., 2021); llama.cpp's models/llama.cpp and qwen2.cpp, as of
llama-cpp-python 0.3.36.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from appliance.tuning.trainer.weights import Matrix, Shape

_GROUPS = (("attn_q", "attn_k", "attn_v"), ("attn_output",), ("ffn_gate", "ffn_up"), ("ffn_down",))
_ROWS = 128  # of logits that exist at once


@dataclass
class Batch:
    """Rows that are computed together, on the right filled up with zeros.

    Attributes:
        prefix: token ids that every row begins with, shape (P,).
        rows: what follows, shape (R, T).
        at: of each learned token, its row and the place whose logits predict it, shape (N, 2).
        targets: the learned tokens, shape (N,).
    """

    prefix: Tensor
    rows: Tensor
    at: Tensor
    targets: Tensor


class Linear:
    """Weights with one input, computed as one product, and a pair of matrices for each.

    Args:
        weights: those of `names` are taken out.
        names: `blk.N.NAME`, as in the file.
        rank: of each pair.
        scale: of what the pairs add.
        noise: draws the first of each pair; the second begins at zero, so nothing changes yet.
    """

    def __init__(
        self,
        weights: dict[str, Matrix],
        names: Sequence[str],
        rank: int,
        scale: float,
        noise: torch.Generator,
    ) -> None:
        own = [torch.from_numpy(weights.pop(f"{name}.weight")) for name in names]
        biases = [weights.pop(f"{name}.bias", None) for name in names]
        self._names, self._rank, self._scale = tuple(names), rank, scale
        self._weight = torch.cat(own) if len(own) > 1 else own[0]
        self._bias = None
        if any(bias is not None for bias in biases):
            parts = [
                torch.zeros(len(w)) if b is None else torch.from_numpy(b)
                for w, b in zip(own, biases, strict=True)
            ]
            self._bias = torch.cat(parts)
        inputs = own[0].shape[1]
        bound = 1 / math.sqrt(inputs)
        self.down = torch.empty(rank * len(names), inputs).uniform_(-bound, bound, generator=noise)
        self.ups = [torch.zeros(len(w), rank) for w in own]
        for matrix in (self.down, *self.ups):
            matrix.requires_grad_()

    def __call__(self, x: Tensor) -> Tensor:
        """The base's outputs, and what the pairs add."""
        narrow = functional.linear(x, self.down).split(self._rank, -1)
        added = [functional.linear(n, up) for n, up in zip(narrow, self.ups, strict=True)]
        change = torch.cat(added, -1) if len(added) > 1 else added[0]
        return functional.linear(x, self._weight, self._bias) + self._scale * change

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """The matrices by their names in an adapter's file; those of the first kind are views."""
        for place, (name, up) in enumerate(zip(self._names, self.ups, strict=True)):
            yield f"{name}.weight.lora_a", self.down[place * self._rank : (place + 1) * self._rank]
            yield f"{name}.weight.lora_b", up


class Network:
    """A decoder.

    Args:
        weights: taken apart, so that no matrix is there twice.
        recompute: forget what is within a layer until the gradient needs it.
        seed: of the matrices at the beginning.
    """

    def __init__(
        self,
        shape: Shape,
        weights: dict[str, Matrix],
        *,
        rank: int,
        alpha: float,
        recompute: bool,
        seed: int,
    ) -> None:
        self._shape, self._recompute = shape, recompute
        noise = torch.Generator().manual_seed(seed)
        self._embedding = torch.from_numpy(weights["token_embd.weight"])
        head = weights.get("output.weight")
        self._head = self._embedding if head is None else torch.from_numpy(head)
        self._norm = torch.from_numpy(weights["output_norm.weight"])
        self._layers = []
        for layer in range(shape.layers):
            norms = [
                torch.from_numpy(weights[f"blk.{layer}.{name}.weight"])
                for name in ("attn_norm", "ffn_norm")
            ]
            parts = [
                Linear(weights, [f"blk.{layer}.{n}" for n in names], rank, alpha / rank, noise)
                for names in _GROUPS
            ]
            self._layers.append((norms, parts))
        half = torch.arange(0, shape.head, 2, dtype=torch.float32) / shape.head
        self._frequencies = shape.base**-half

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return len(self._embedding)

    def parameters(self) -> list[Tensor]:
        """What is trained, in a fixed order."""
        linears = [part for _, parts in self._layers for part in parts]
        return [matrix for part in linears for matrix in (part.down, *part.ups)]

    def named(self) -> dict[str, Tensor]:
        """The matrices by their names in an adapter's file."""
        return {
            name: matrix.detach()
            for _, parts in self._layers
            for part in parts
            for name, matrix in part.named()
        }

    def hidden(self, batch: Batch) -> Tensor:
        """The last layer at the places that predict a learned token, shape (N, width)."""
        prefix, rows = self._embedding[batch.prefix], self._embedding[batch.rows]
        begun, length = len(batch.prefix), batch.rows.shape[1]
        turn = self._turn(torch.arange(begun + length))
        mask = torch.ones(length, begun + length, dtype=torch.bool).tril(begun)
        for layer in self._layers:
            if self._recompute and torch.is_grad_enabled():
                prefix, rows = checkpoint(
                    self._layer, layer, prefix, rows, turn, mask,
                    use_reentrant=False, preserve_rng_state=False,
                )  # fmt: skip
            else:
                prefix, rows = self._layer(layer, prefix, rows, turn, mask)
        row, place = batch.at.unbind(1)
        return self._normed(rows[row, place], self._norm)

    def losses(self, batch: Batch) -> Tensor:
        """The negative logarithm of each learned token's probability, shape (N,)."""
        found = self.hidden(batch)
        parts = []
        for start in range(0, len(found), _ROWS):
            piece, targets = found[start : start + _ROWS], batch.targets[start : start + _ROWS]
            if torch.is_grad_enabled():
                parts.append(
                    checkpoint(
                        self._loss, piece, targets, use_reentrant=False, preserve_rng_state=False
                    )
                )
            else:
                parts.append(self._loss(piece, targets))
        return torch.cat(parts)

    def scores(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Of each learned token: its loss, the most likely token there, and how far that leads."""
        found = self.hidden(batch)
        losses, best, leads = [], [], []
        for start in range(0, len(found), _ROWS):
            logits = found[start : start + _ROWS] @ self._head.T
            targets = batch.targets[start : start + _ROWS]
            losses.append(functional.cross_entropy(logits, targets, reduction="none"))
            top = logits.topk(2, -1)
            best.append(top.indices[:, 0])
            leads.append(top.values[:, 0] - top.values[:, 1])
        return torch.cat(losses), torch.cat(best), torch.cat(leads)

    def _loss(self, found: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(found @ self._head.T, targets, reduction="none")

    def _layer(
        self,
        layer: tuple[list[Tensor], list[Linear]],
        prefix: Tensor,
        rows: Tensor,
        turn: tuple[Tensor, Tensor],
        mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """One layer over the shared beginning, shape (P, width), and the rows, (R, T, width)."""
        (before, between), (qkv, out, gate_up, down) = layer
        begun, count, length = len(prefix), rows.shape[0], rows.shape[1]
        x = torch.cat([prefix, rows.reshape(count * length, -1)])
        mixed = self._attention(qkv(self._normed(x, before)), begun, count, length, turn, mask)
        x = x + out(mixed)
        gate, up = gate_up(self._normed(x, between)).chunk(2, -1)
        x = x + down(functional.silu(gate) * up)
        return x[:begun], x[begun:].view(count, length, -1)

    def _attention(
        self,
        qkv: Tensor,
        begun: int,
        count: int,
        length: int,
        turn: tuple[Tensor, Tensor],
        mask: Tensor,
    ) -> Tensor:
        heads, shared, head = self._shape.heads, self._shape.heads_kv, self._shape.head
        sizes = [heads * head, shared * head, shared * head]
        q, k, v = qkv.split(sizes, -1)
        q, k, v = q.view(-1, heads, head), k.view(-1, shared, head), v.reshape(-1, shared, head)
        places = torch.cat([torch.arange(begun), torch.arange(begun, begun + length).repeat(count)])
        q, k = self._turned(q, turn, places), self._turned(k, turn, places)
        k, v = (t.repeat_interleave(heads // shared, 1) for t in (k, v))
        first = [t[:begun].transpose(0, 1)[None] for t in (q, k, v)]
        then = [t[begun:].view(count, length, heads, head).transpose(1, 2) for t in (q, k, v)]
        whole = [
            torch.cat([a.expand(count, -1, -1, -1), b], 2) for a, b in zip(first, then, strict=True)
        ]
        mixed = functional.scaled_dot_product_attention(
            then[0], whole[1], whole[2], attn_mask=mask[None, None]
        )
        mixed = mixed.transpose(1, 2).reshape(count * length, -1)
        if not begun:
            return mixed
        start = functional.scaled_dot_product_attention(*first, is_causal=True)
        return torch.cat([start[0].transpose(0, 1).reshape(begun, -1), mixed])

    def _turn(self, places: Tensor) -> tuple[Tensor, Tensor]:
        angles = places[:, None].float() * self._frequencies
        return angles.cos(), angles.sin()

    def _turned(self, x: Tensor, turn: tuple[Tensor, Tensor], places: Tensor) -> Tensor:
        """Queries or keys with their positions, shape (tokens, heads, head)."""
        cos, sin = (t[places][:, None] for t in turn)
        if self._shape.pairs:
            a, b = x[..., 0::2], x[..., 1::2]
            return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), weight, self._shape.epsilon)
