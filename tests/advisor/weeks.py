"""Made-up weeks of a task's requests: labels, words and confidence that go together by day.

Planted changes: `words` (a new vocabulary), `layout` (the same words, written otherwise), `labels`
(another mix of answers), `creep` (confidence sinks a little every week).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from appliance.advisor.blocks import WEEK_US, Profile, WeekBlock, WeekObserved, block, profile
from appliance.advisor.drift import Watch, looked

LABELS = ("engine", "hydraulics", "cab", "electrical")
OLD = [f"word{number}" for number in range(300)]
NEW = [f"neologism{number}" for number in range(60)]
SHARES = np.array([0.4, 0.3, 0.2, 0.1])
A_DAY = 12
"""Requests."""


def week(
    random: np.random.Generator, number: int, mood: float, planted: str = "", strength: float = 0.0
) -> tuple[list[WeekObserved], float]:
    """One week, and the mood of its last day; the days of a week resemble each other."""
    seen = []
    for day in range(7):
        mood = 0.6 * mood + 0.8 * float(random.normal())
        shares = SHARES * np.exp(0.15 * mood * np.array([1, -1, 0.5, -0.5]))
        if planted == "labels":
            shares = shares * np.exp(strength * np.array([-1.5, 0, 0, 1.5]))
        sunk = strength if planted == "creep" else 0.0
        sure = 1 / (1 + np.exp(1.5 * sunk - 1.5 - 0.2 * mood - random.normal(size=A_DAY)))
        chosen = random.choice(4, A_DAY, p=shares / shares.sum())
        time = number * WEEK_US + day * WEEK_US // 7
        seen += [
            WeekObserved(
                time,
                failed=bool(failed),
                prompt_tokens=30 + 2 * len(words),
                answer_tokens=2,
                confidence=float(confidence),
                text=_written(
                    words, LABELS[label], ordered=planted == "layout" and form < strength
                ),
                answer=LABELS[label],
            )
            for words, label, confidence, failed, form in zip(
                _words(random, strength if planted == "words" else 0.0),
                chosen,
                sure,
                random.random(A_DAY) < 0.01,
                random.random(A_DAY),
                strict=True,
            )
        ]
    return seen, mood


def _words(random: np.random.Generator, strength: float) -> Iterator[list[str]]:
    """At full strength every fourth word is new."""
    for count in random.integers(4, 12, A_DAY):
        places = random.integers(len(OLD), size=count)
        new = random.random(count) < 0.25 * strength
        yield [NEW[p % len(NEW)] if n else OLD[p] for p, n in zip(places, new, strict=True)]


def _written(words: list[str], label: str, *, ordered: bool) -> str:
    return f"ORDER|{'|'.join(words)}|{label}|" if ordered else " ".join([label, *words])


@dataclass
class Source:
    random: np.random.Generator
    known: Profile
    mood: float
    number: int = 0

    @classmethod
    def begin(cls, random: np.random.Generator) -> "Source":
        seen, mood = week(random, 0, 0.0)
        return cls(random, profile(0, seen), mood)

    def next(self, planted: str = "", strength: float = 0.0) -> WeekBlock:
        self.number += 1
        seen, self.mood = week(self.random, self.number, self.mood, planted, strength)
        found = block(self.number, seen, self.known)
        if found is None:
            raise AssertionError("no block")
        return found


def strength_after(planted: str, weeks: int) -> float:
    """Strength of a change in its `weeks`-th week, from 1: at once, or growing for twelve."""
    if not planted or weeks < 1:
        return 0.0
    return min(1.0, weeks / 12) if planted == "creep" else 1.0


def watched(
    random: np.random.Generator, weeks: int, planted: str = "", start: int = 0
) -> Iterator[Watch]:
    """After each week; something changes with the week `start`."""
    source = Source.begin(random)
    watch = Watch("orders", source.known)
    for number in range(1, weeks + 1):
        watch = looked(watch, source.next(planted, strength_after(planted, number - start + 1)))
        yield watch
