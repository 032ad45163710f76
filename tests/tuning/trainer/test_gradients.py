"""The hand-written gradients, against differences, in a process that may load torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

CHECK = """
import sys
sys.path.append(sys.argv[1])
import torch
from torch.nn import functional
from appliance.tuning.trainer.gradients import Gated, Normed, PairedProduct

torch.manual_seed(3)

def numbers(*shape, grad=True):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=grad)

weight, bias, spread = numbers(7, 4, grad=False), numbers(7, grad=False), numbers(4, grad=False)

def whole(down, *ups):
    pairs = [up @ part for up, part in zip(ups, down.split(2))]
    return (weight + 1.5 * torch.cat(pairs)).detach()

def paired(x, down, *ups):
    return PairedProduct.apply(x, whole(down, *ups), bias, 1.5, down, *ups)

def normed(x):
    return Normed.apply(x, spread, 1e-5)

pairs = (numbers(3, 4), numbers(4, 4), numbers(5, 2), numbers(2, 2))
assert torch.autograd.gradcheck(paired, pairs)
assert torch.autograd.gradcheck(Gated.apply, (numbers(3, 8),))
assert torch.autograd.gradcheck(normed, (numbers(3, 4),))

x, down, *ups = pairs
added = [up @ part for up, part in zip(ups, down.split(2))]
plain = functional.linear(x, weight, bias) + 1.5 * functional.linear(x, torch.cat(added))
assert torch.allclose(paired(*pairs), plain)
both = numbers(3, 8)
gate, up = both.chunk(2, -1)
assert torch.allclose(Gated.apply(both), functional.silu(gate) * up)
assert torch.allclose(normed(x), functional.rms_norm(x, (4,), spread, 1e-5))
"""


@pytest.mark.tune
def test_they_are_those_of_the_plain_functions(tuning_set: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHECK, str(tuning_set)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
