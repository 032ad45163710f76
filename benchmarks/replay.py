"""Recorded answers of a mixed load, computed again in another process and on another appliance.

Answers of all forms are made under load with one and two threads. Each is replayed, some on a
second data directory. Then the computation is altered; each alteration that, by brute force, moves
a log-probability must be found.

usage: python -m benchmarks.replay [--answers N] [--elsewhere N] [--alterations N] [--seed N]
                                   [--model smollm2 | gemma | qwen | qwen-0.5b]
"""

import argparse
import asyncio
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec.structs import replace as changed

from appliance.app import Services
from appliance.audit import recorded_answer
from appliance.serving.replaying import Replaying
from appliance.wire.admin.results import AnswersReplayed
from benchmarks.models import MODELS, SMALL, gguf
from installer.bundle.steps import say
from tests import replayed
from tests.replayed import Alteration

_PORTION: Final = 500
_KERNELS: Final = 8


def main() -> None:
    """Make, replay, alter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=1_000)
    parser.add_argument("--elsewhere", type=int, default=100)
    parser.add_argument("--alterations", type=int, default=20, help="that move one (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the requests (0)")
    parser.add_argument("--model", choices=(*MODELS, SMALL), default="smollm2")
    given = parser.parse_args()
    model = gguf(given.model)
    with tempfile.TemporaryDirectory(prefix="replay-") as place:
        asyncio.run(_all(Path(place), model, given))


async def _all(place: Path, model: Path, given: argparse.Namespace) -> None:
    (place / "first").mkdir()
    data = replayed.make(place / "first", model)
    seqs: list[int] = []
    for threads in (1, 2):
        async with replayed.serving(data, replayed.config(threads)) as services:
            while len(seqs) < given.answers * threads // 2:
                count = min(_PORTION, given.answers * threads // 2 - len(seqs))
                seqs += await replayed.answers(services, count, seed=given.seed + len(seqs))
                say(f"{len(seqs)} answers, {threads} threads")
    out = place / "answers"
    async with replayed.serving(data, replayed.config(1, slots=3, prefill_budget=37)) as services:
        for at in range(0, len(seqs), _PORTION):
            _say("here", await replayed.replayed(services, seqs=seqs[at : at + _PORTION]))
        chosen = random.Random(1).sample(seqs, min(given.elsewhere, len(seqs)))
        if chosen:
            await replayed.replayed(services, seqs=chosen, out=str(out))
        await _altered(services, model, seqs, given.alterations)
    if chosen:
        (place / "second").mkdir()
        other = replayed.make(place / "second", model)
        key = (data / "audit" / "genesis.pub").read_text()
        async with replayed.serving(other, replayed.config(2)) as services:
            _say("elsewhere", await replayed.replayed(services, export=str(out), key=key))


def _say(where: str, told: AnswersReplayed) -> None:
    say(f"{where}: {told.same} same, {told.differs} differ, {told.cannot} cannot {told.reasons}")
    for one in told.answers:
        if one.verdict == "differs":
            say(f"  {one.document}")


def alteration(number: int) -> Alteration:
    """One of many ways to compute otherwise, by its number."""
    dice = random.Random(number)
    match number % 5:
        case 0:
            return Alteration("weights", replayed.flipped(number, dice.choice([1, 1, 10, 1_000])))
        case 1:
            return Alteration("adapter", adapter=100 + number)
        case 2:
            word = dice.choice(["user", "assistant", "system", "<|im_end|>"])
            return Alteration(
                "template",
                load=lambda load: changed(load, template=load.template.replace(word, f"{word} ")),
            )
        case 3:
            step = dice.choice([1e-6, 1e-3, 0.5])
            return Alteration(
                "sampler",
                request=lambda asked: replace(
                    asked,
                    seed=(asked.seed or 0) + 1,
                    sampling=replace(asked.sampling, temperature=asked.sampling.temperature + step),
                ),
            )
        case _:
            bit = dice.randrange(_KERNELS)
            return Alteration("kernels", load=lambda load: changed(load, refused=1 << bit))


async def _altered(services: Services, model: Path, seqs: list[int], count: int) -> None:
    """For each alteration an answer, until enough must be found by brute force."""
    dice, tried, moved, found, silent = random.Random(2), 0, 0, 0, 0
    while moved < count:
        number, tried = tried, tried + 1
        change = alteration(number)
        async with replayed.altered(services, change, model) as elsewhere:
            bodies = recorded_answer.bodies(services.reader, dice.choice(seqs))
            while bool(bodies.intent["adapter"]) is not (change.name == "adapter"):
                bodies = recorded_answer.bodies(services.reader, dice.choice(seqs))
            answer = recorded_answer.opened(services.reader, bodies.seqs)
            moves = await replayed.moves(services, elsewhere, answer)
            verdict = (
                await Replaying(elsewhere, services.shares, replayed.unwritten).verdict(answer)
            ).verdict
            moved += moves
            found += moves and verdict == "differs"
            silent += not moves and verdict == "differs"
            if moves and verdict != "differs":
                say(f"NOT FOUND: {change.name} {number}, entry {bodies.seqs}: {verdict}")
    say(f"{tried} alterations: {moved} move a log-probability, {found} of these are found;")
    say(f"{silent} others are found that move none in 32 bits")


if __name__ == "__main__":
    main()
