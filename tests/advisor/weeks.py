"""Weeks of a task's requests, made up: labels, words and confidence that go together by day.

What can be planted: `words` (a new vocabulary), `layout` (the same words, written otherwise),
`labels` (another mix of answers), `creep` (confidence sinks a little every week).
"""

import math
from collections.abc import Iterator

import numpy as np

from appliance.advisor.blocks import WEEK_US, Observed, block, profile
from appliance.advisor.drift import Watch, looked

LABELS = ("engine", "hydraulics", "cab", "electrical")
OLD = [f"word{number}" for number in range(300)]
NEW = [f"neologism{number}" for number in range(60)]
SHARES = np.array([0.4, 0.3, 0.2, 0.1])


def week(
    random: np.random.Generator, number: int, mood: float, planted: str = "", strength: float = 0.0
) -> tuple[list[Observed], float]:
    """One week, and the mood of its last day; the days of a week resemble each other."""
    seen = []
    for day in range(7):
        mood = 0.6 * mood + 0.8 * float(random.normal())
        shares = SHARES * np.exp(0.15 * mood * np.array([1, -1, 0.5, -0.5]))
        if planted == "labels":
            shares = shares * np.exp(strength * np.array([-1.5, 0, 0, 1.5]))
        for _ in range(12):
            answer = LABELS[int(random.choice(4, p=shares / shares.sum()))]
            words = [str(w) for w in random.choice(OLD, int(random.integers(4, 12)))]
            if planted == "words":
                words = [
                    str(random.choice(NEW)) if random.random() < 0.25 * strength else w
                    for w in words
                ]
            text = " ".join([answer, *words])
            if planted == "layout" and random.random() < strength:
                text = f"ORDER|{'|'.join(words)}|{answer}|"
            sunk = strength if planted == "creep" else 0.0
            sure = 1 / (1 + math.exp(-(1.5 + 0.2 * mood - 1.5 * sunk + float(random.normal()))))
            seen.append(
                Observed(
                    number * WEEK_US + day * WEEK_US // 7,
                    failed=random.random() < 0.01,
                    prompt_tokens=30 + 2 * len(words),
                    answer_tokens=2,
                    confidence=sure,
                    text=text,
                    answer=answer,
                )
            )
    return seen, mood


def watched(
    random: np.random.Generator, weeks: int, planted: str = "", start: int = 0
) -> Iterator[Watch]:
    """The watch after each of so many weeks; something changes with the week `start`."""
    seen, mood = week(random, 0, 0.0)
    watch = Watch("orders", profile(0, seen))
    for number in range(1, weeks + 1):
        past = number - start + 1
        strength = 0.0 if not planted or past < 1 else 1.0
        if planted == "creep" and past >= 1:
            strength = min(1.0, past / 12)
        seen, mood = week(random, number, mood, planted, strength)
        known = watch.profile
        if known is None:
            raise AssertionError("no profile")
        found = block(number, seen, known)
        if found is None:
            raise AssertionError("no block")
        watch = looked(watch, found)
        yield watch
