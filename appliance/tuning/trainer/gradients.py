"""Three functions with gradients of their own, so that little but the products costs time."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional


class PairedProduct(Function):  # type: ignore[misc] # torch has no types here
    """x W', where W' = W + scale * up down: one product forward, and one for x backward.

    Args (of `apply`):
        x: (N, inputs).
        whole: W', (outputs, inputs); no gradient.
        bias: of the outputs, or None; no gradient.
        scale: of the pairs.
        down: of all pairs, one below the other, (pairs * rank, inputs).
        ups: of each pair, (its outputs, rank); together they have all outputs.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, whole: Tensor, bias: Tensor | None, scale: float, down: Tensor,
        *ups: Tensor,
    ) -> Tensor:  # fmt: skip
        """(N, outputs)."""
        ctx.scale, ctx.whole = scale, whole
        ctx.save_for_backward(x, down, *ups)
        return functional.linear(x, whole, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, down, *ups = ctx.saved_tensors
        of_x = gradient @ ctx.whole if ctx.needs_input_grad[0] else None
        parts = gradient.split([len(up) for up in ups], -1)
        narrow = functional.linear(x, down).mul_(ctx.scale).split(ups[0].shape[1], -1)
        of_ups = [part.T @ n for part, n in zip(parts, narrow, strict=True)]
        of_narrow = torch.cat([part @ up for part, up in zip(parts, ups, strict=True)], -1)
        return of_x, None, None, None, of_narrow.mul_(ctx.scale).T @ x, *of_ups


class Gated(Function):  # type: ignore[misc] # as above
    """silu(gate) * up, of both side by side, (N, 2 * inner)."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        """(N, inner)."""
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        found = torch.empty_like(both)
        of_gate, of_up = found.chunk(2, -1)
        share = torch.sigmoid(gate)
        open_ = share * gate
        torch.mul(gradient, open_, out=of_up)
        # silu' = s + g s (1 - s) = s (1 - silu) + silu
        open_.addcmul_(share, 1 - open_).mul_(up)
        torch.mul(gradient, open_, out=of_gate)
        return found


class Normed(Function):  # type: ignore[misc] # as above
    """x / rms(x) * weight; the weight has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        scale = (x * x).mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, scale)
        ctx.weight = weight
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, scale = ctx.saved_tensors
        weighted = gradient * ctx.weight
        along = (weighted * x).mean(-1, keepdim=True).mul_(scale**3)
        return weighted.mul_(scale).sub_(x * along), None, None
