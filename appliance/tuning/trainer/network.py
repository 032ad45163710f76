"""The decoder in 32-bit floats, with a pair of narrow matrices next to each linear layer.

Rules: weights keep the layout of the GGUF file, and positions are turned as llama.cpp turns them;
the base never changes; the beginning that all rows share is computed once for a batch, and its
gradient flows from every row.

Sources: LoRA (Hu et al., 2021); llama.cpp's models/llama.cpp and qwen2.cpp, as of llama-cpp-python
0.3.36.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from appliance.tuning.trainer.gradients import Gated, Normed, PairedProduct
from appliance.tuning.trainer.weights import Matrix, Shape

_GROUPS = (("attn_q", "attn_k", "attn_v"), ("attn_output",), ("ffn_gate", "ffn_up"), ("ffn_down",))
_ROWS = 128  # of logits that exist at once


@dataclass
class PaddedBatch:
    """Rows that are computed together, padded on the right with zeros.

    Attributes:
        prefix: token ids that every row begins with, shape (P,).
        rows: after the prefix, shape (R, T).
        at: of each learned token, its row and the place whose logits predict it, shape (N, 2).
        targets: the learned tokens, shape (N,).
    """

    prefix: Tensor
    rows: Tensor
    at: Tensor
    targets: Tensor


@dataclass
class Places:
    """Where tokens are: the shared beginning, then the rows, each after it.

    Attributes:
        turn: of each token and each pair of a head's numbers, as complex numbers, (N, 1, head / 2).
        first, then: added to scores, of the beginning and of a row, once for each query head that
            shares its keys.
    """

    begun: int
    count: int
    length: int
    turn: Tensor
    first: Tensor
    then: Tensor


class AdaptedLinear:
    """Weights with one input, computed as one product, and a pair of matrices for each.

    Args:
        weights: loses those of `names`.
        names: `blk.N.NAME`, as in the file.
        rank: of each pair.
        scale: of the pairs.
        noise: draws the first of each pair; the second begins at zero.
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
        self._whole = torch.empty_like(self._weight)
        self._made: tuple[int, ...] = ()
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
        added = (self._scale, self.down, *self.ups)
        found: Tensor = PairedProduct.apply(x, self._with_pairs(), self._bias, *added)
        return found

    def _with_pairs(self) -> Tensor:
        """Made again after each step."""
        now = tuple(matrix._version for matrix in (self.down, *self.ups))
        if now != self._made:
            sizes = [len(up) for up in self.ups]
            parts = zip(self._weight.split(sizes), self._whole.split(sizes), strict=True)
            pairs = zip(self.ups, self.down.split(self._rank), strict=True)
            with torch.no_grad():
                for (weight, into), (up, down) in zip(parts, pairs, strict=True):
                    torch.addmm(weight, up, down, alpha=self._scale, out=into)
            self._made = now
        return self._whole

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """By their names in an adapter's file; those of the first kind are views."""
        for place, (name, up) in enumerate(zip(self._names, self.ups, strict=True)):
            yield f"{name}.weight.lora_a", self.down[place * self._rank : (place + 1) * self._rank]
            yield f"{name}.weight.lora_b", up


class Network:
    """A decoder.

    Args:
        weights: emptied, so that no matrix exists twice.
        recompute: drop activations within a layer until the gradient needs them.
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
                AdaptedLinear(
                    weights, [f"blk.{layer}.{n}" for n in names], rank, alpha / rank, noise
                )
                for names in _GROUPS
            ]
            self._layers.append((norms, parts))
        half = torch.arange(0, shape.head, 2, dtype=torch.float32) / shape.head
        self._frequencies = shape.base**-half

    @property
    def vocabulary(self) -> int:
        return len(self._embedding)

    def parameters(self) -> list[Tensor]:
        """In a fixed order."""
        linears = [part for _, parts in self._layers for part in parts]
        return [matrix for part in linears for matrix in (part.down, *part.ups)]

    def named(self) -> dict[str, Tensor]:
        return {
            name: matrix.detach()
            for _, parts in self._layers
            for part in parts
            for name, matrix in part.named()
        }

    def hidden(self, batch: PaddedBatch) -> Tensor:
        """The last layer at the places that predict a learned token, shape (N, width)."""
        count, length = batch.rows.shape
        x = self._embedding[torch.cat([batch.prefix, batch.rows.flatten()])]
        places = self._places(len(batch.prefix), count, length)
        for layer in self._layers:
            if self._recompute and torch.is_grad_enabled():
                x = checkpoint(
                    self._layer, layer, x, places, use_reentrant=False, preserve_rng_state=False
                )
            else:
                x = self._layer(layer, x, places)
        row, place = batch.at.unbind(1)
        return self._normed(x[places.begun + row * length + place], self._norm)

    def losses(self, batch: PaddedBatch) -> Tensor:
        """Negative logarithm of each learned token's probability, shape (N,)."""
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

    def scores(self, batch: PaddedBatch) -> tuple[Tensor, Tensor, Tensor]:
        """For each learned token: its loss, the most likely token there, and its lead."""
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

    def _places(self, begun: int, count: int, length: int) -> Places:
        at = torch.cat([torch.arange(begun), torch.arange(begun, begun + length).repeat(count)])
        angles = at[:, None].float() * self._frequencies
        turn = torch.complex(angles.cos(), angles.sin())[:, None]
        group = self._shape.heads // self._shape.heads_kv
        first, then = (
            torch.full((size, before + size), -math.inf).triu(before + 1).repeat(group, 1)
            for size, before in ((begun, 0), (length, begun))
        )
        return Places(begun, count, length, turn, first, then)

    def _layer(
        self, layer: tuple[list[Tensor], list[AdaptedLinear]], x: Tensor, places: Places
    ) -> Tensor:
        """Over the shared beginning and the rows, one after the other, (N, width)."""
        (before, between), (qkv, out, gate_up, down) = layer
        x = x + out(self._attention(qkv(self._normed(x, before)), places))
        return x + down(Gated.apply(gate_up(self._normed(x, between))))

    def _attention(self, qkv: Tensor, places: Places) -> Tensor:
        heads, shared, head = self._shape.heads, self._shape.heads_kv, self._shape.head
        begun, count, length = places.begun, places.count, places.length
        q, k, v = qkv.split([heads * head, shared * head, shared * head], -1)
        q = self._turned(q.view(-1, heads, head), places.turn)
        k = self._turned(k.view(-1, shared, head), places.turn)
        v = v.view(-1, shared, head)
        first = [t[:begun].transpose(0, 1)[None] for t in (k, v)]
        whole = [
            torch.cat([before.expand(count, -1, -1, -1), own.transpose(1, 2)], 2)
            for before, own in zip(
                first, (t[begun:].view(count, length, shared, head) for t in (k, v)), strict=True
            )
        ]
        mixed = self._mixed(q[begun:], count, whole, places.then)
        if not begun:
            return mixed
        return torch.cat([self._mixed(q[:begun], 1, first, places.first), mixed])

    def _mixed(self, q: Tensor, count: int, cells: list[Tensor], mask: Tensor) -> Tensor:
        """Query heads that share keys are one after the other."""
        shared, head = self._shape.heads_kv, self._shape.head
        q = q.view(count, -1, shared, self._shape.heads // shared, head).permute(0, 2, 3, 1, 4)
        length = q.shape[3]
        found = functional.scaled_dot_product_attention(q.flatten(2, 3), *cells, attn_mask=mask)
        found = found.unflatten(2, (-1, length)).permute(0, 3, 1, 2, 4)
        return found.reshape(count * length, -1)

    def _turned(self, x: Tensor, turn: Tensor) -> Tensor:
        """(tokens, heads, head)."""
        if self._shape.pairs:
            pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
            return torch.view_as_real(pairs * turn).flatten(-2)
        cos, sin = turn.real, turn.imag
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        found: Tensor = Normed.apply(x, weight, self._shape.epsilon)
        return found
