"""Answers beside a training: the same moments on both sides, ratios, a stopped trainer."""

import os
import signal
import subprocess
import time

import pytest

from benchmarks.beside_training import (
    Pair,
    Sample,
    Training,
    Window,
    asks,
    during,
    figures,
    looked_at,
    moments,
    order,
    pooled,
    position,
)
from benchmarks.generator import Answer
from benchmarks.measure import summarise
from benchmarks.servers import BenchError


def answers(first: float, count: int = 40) -> list[Answer]:
    """They begin a second apart, the later the slower."""
    return [
        Answer("app", float(n), stamps=[n + first * (1 + n / count)], ended=n + 2 * first)
        for n in range(count)
    ]


def pair(beside: float, alone: float) -> Pair:
    one, other = answers(beside), answers(alone)
    return Pair(
        Window(one, summarise("beside", one), Training(0.4, 0.5, 300.0)),
        Window(other, summarise("paused", other), None),
    )


def test_both_windows_of_a_pair_get_requests_at_the_same_moments_with_other_words() -> None:
    at = moments(3, 2.0, 20.0)
    assert at == moments(3, 2.0, 20.0) != moments(4, 2.0, 20.0)
    assert 20 <= len(at) <= 60 and at == sorted(at) and at[-1] < 20.0
    one, other = asks("m", 3, "True", at), asks("m", 3, "False", at)
    assert [ask.at for ask in one] == at == [ask.at for ask in other]
    texts = [ask.body["messages"][0]["content"] for ask in (*one, *other)]
    assert len(set(texts)) == len(texts)
    assert {len(text.split()) for text in texts} == {48}
    assert one[0].body["model"] == "m" and "prompt" not in one[0].body


def test_windows_take_turns_so_that_a_job_is_resumed_once_for_two_pairs() -> None:
    turns = [trains for number in range(4) for trains in order(number)]
    assert turns == [True, False, False, True, True, False, False, True]


def test_a_ratio_is_of_all_answers_and_its_interval_draws_both_of_one_moment() -> None:
    pairs = [pair(0.22, 0.2), pair(0.22, 0.2)]
    found = pooled("first", pairs, lambda answer: answer.ttft, 0.95)
    assert found.value.median == pytest.approx(1.1)
    assert found.value.low == pytest.approx(1.1) == found.value.high  # each twin has this ratio
    assert found.ours is not None and found.ours.median == pytest.approx(220 * 1.925)
    assert (found.relation, found.target) == ("≤", 1.1)
    pairs[0].beside.answers[39].error = "HTTP 503"  # neither it nor its twin counts
    without = pooled("first", pairs, lambda answer: answer.ttft, 1.0)
    assert without.value.median == pytest.approx(1.1)
    for answer in pairs[0].beside.answers:
        answer.error = "HTTP 503"
    with pytest.raises(BenchError, match="no two requests"):
        pooled("first", pairs[:1], lambda answer: answer.ttft, 0.95)


def test_the_sheet_says_what_the_answers_cost_and_what_is_left_for_the_trainer() -> None:
    quiet = Training(0.0, 1.9, 600.0)
    made = {f.name: f for f in figures([pair(0.22, 0.2), pair(0.26, 0.2)], quiet)}
    assert made["whole answer, p95 of all windows"].met is False
    each = made["first token, p95 pair by pair"].value
    assert [each.low, each.high] == pytest.approx([1.1, 1.3])
    assert made["share of the time that the trainer is frozen"].value.median == 0.4
    speed = made["the trainer's tokens/s, beside requests / without any"]
    assert speed.value.median == 0.5 and speed.other is not None


def test_the_trainer_is_measured_within_the_window_alone() -> None:
    samples = [Sample(float(n), 4 <= n < 7, n * 0.5, n // 2) for n in range(12)]
    found = during(samples, 2.0, 8.0, 100.0)
    assert [found.frozen, found.cores, found.tokens_s] == pytest.approx([0.5, 0.5, 50.0])
    rare = [sample for sample in samples if sample.at not in (5.0, 6.0)]
    assert during(rare, 2.0, 8.0, 100.0).frozen == 0.5  # how often it was looked at is no matter
    for begin, end in ((20.0, 30.0), (2.0, 18.0), (-8.0, 8.0)):
        with pytest.raises(BenchError, match="was not there"):
            during(samples, begin, end, 100.0)


def test_a_step_under_way_counts_by_its_processor_time() -> None:
    steps = (0, 1, 1, 1, 1, 2, 2, 2)  # a step takes four seconds of the processor
    samples = [Sample(float(n), False, float(n), step) for n, step in enumerate(steps)]
    assert position(samples, samples[0]) == 0  # when it began was not seen
    assert position(samples, samples[1]) == 1
    assert position(samples, samples[3]) == 1.5
    assert position(samples, samples[7]) == 2.5  # as long as the one before it
    assert position(samples[:4], samples[3]) == 1  # how long one takes is not known
    stalled = [*samples, Sample(30.0, False, 12.0, 2)]
    assert position(stalled, stalled[-1]) == 3.0  # its end was not told yet


def test_a_process_that_is_stopped_is_frozen_and_takes_no_processor_time() -> None:
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as process:
        try:
            assert not looked_at(process.pid)[0]
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            frozen, cpu = looked_at(process.pid)
            time.sleep(0.05)
            assert frozen and looked_at(process.pid) == (True, cpu)
        finally:
            process.kill()
    with pytest.raises(OSError):
        looked_at(process.pid)
