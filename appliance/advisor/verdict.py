"""Verdict: the cheapest option of those shown to be good enough, and the don'ts.

Rules: limits hold for all candidates together, since the best of several is flattered; costs decide
only among options shown to reach the wanted quality, and only where all of them have one, else the
simplest wins; too few groups decide nothing; nor does an old price or one without a source; turning
points are found by asking again, at P50, with one other answer at a time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Final

from appliance.advisor import costs
from appliance.advisor.costs import Case, Percentiles, Swing
from appliance.advisor.options import (
    OPTIONS,
    MeasuredFacts,
    OptionMeasured,
    per_doubling,
    with_people,
)
from appliance.advisor.questions import SOURCE, Price, Questions, Range, exactly
from appliance.evals.evidence_reader import Quality
from appliance.statistics import power, verdict
from appliance.text import between, percent
from appliance.wire.admin.advice import (
    AdviceDocument,
    CostTold,
    FlipTold,
    OptionTold,
    SwingTold,
)

NAMES: Final = {
    "baseline": "classifier without a language model",
    "prompt": "small model, prompt only",
    "retrieval": "small model with retrieval",
    "tuned": "tuned small model",
    "cascade": "small model first, the doubtful rest further",
    "larger": "larger local model",
    "upstream": "model on another host of the network",
    "cloud": "cloud model",
}
_LLM: Final = ("prompt", "retrieval", "tuned", "cascade", "larger", "upstream", "cloud")
_FEWEST_GAIN: Final = 0.005
"""A doubling of the data that brings less than this is not worth its labels."""
_WIDEST: Final = 100.0
"""How far a number is changed, up and down, to find what flips the verdict."""


@dataclass(frozen=True)
class Option:
    """One option as the verdict sees it.

    Attributes:
        state: `shown`, `open` (its interval holds the wanted quality), `below`, `unmeasured` or
            `excluded`.
        groups_needed: further groups until it is likely to be shown; None without such a number.
        certify: groups for a certificate; None where none is needed or none is enough.
    """

    option: str
    name: str
    state: str
    why: str
    quality: Quality | None
    cost: Percentiles | None
    seconds: float | None
    missing: tuple[str, ...]
    groups_needed: int | None = None
    certify: int | None = None
    case: Case | None = None


@dataclass(frozen=True)
class Recommendation:
    """The answer.

    Attributes:
        verdict: an option of `NAMES`, or `try_tuning`, `not_enough_data`, `people` or `blocked`.
        more: missing data; 0 for another verdict.
        told_apart: whether the costs of the chosen option and the next one do not overlap.
        full_throughput: the verdict if machines were costed as if they were always busy.
        utilisation: share of the machine's computing time, of the chosen option or else of the
            cheapest local one; None: unknown.
        break_even: requests a day from which it is not dearer than the named one paid by the token;
            None: never.
        retraining: cost of its labels; None where an hour has no price.
    """

    verdict: str
    answer: str
    options: tuple[Option, ...] = ()
    donts: tuple[str, ...] = ()
    more: int = 0
    told_apart: bool = True
    tornado: tuple[Swing, ...] = ()
    flips: tuple[FlipTold, ...] = ()
    full_throughput: str = ""
    utilisation: float | None = None
    break_even: tuple[tuple[str, float | None], ...] = ()
    retraining: Percentiles | None = None
    currency: str = ""
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> Option | None:
        return next((each for each in self.options if each.option == self.verdict), None)


def advise(questions: Questions, facts: MeasuredFacts, today: date) -> Recommendation:
    """The advice."""
    blocked = _blocked(questions, today)
    if blocked:
        return Recommendation("blocked", blocked)
    priced = questions.data.hour.high > 0
    decided = replace(
        _decide(questions, facts),
        retraining=costs.retraining(questions) if priced else None,
        currency=questions.costs.currency,
    )
    if decided.chosen is None:
        return replace(decided, notes=_notes(questions, facts, decided))
    chosen, local = decided.chosen.case, _local(decided)
    decided = replace(
        decided,
        full_throughput=_decide(questions, facts, shared=True).verdict,
        tornado=tuple(costs.tornado(chosen)) if chosen is not None else (),
        utilisation=None if local is None or local.case is None else utilisation(local.case),
        break_even=_break_evens(decided, local),
        flips=tuple(_flips(questions.settled, facts, decided.verdict)),
    )
    return replace(decided, notes=_notes(questions, facts, decided))


def document(advice: Recommendation) -> AdviceDocument:
    """For people and programs; money in cents' precision."""
    chosen = advice.chosen
    return AdviceDocument(
        verdict=advice.verdict,
        answer=advice.answer,
        donts=list(advice.donts),
        more=advice.more,
        options=[_row(each) for each in advice.options],
        flips_if=list(advice.flips),
        told_apart=advice.told_apart,
        tornado=[
            SwingTold(name=s.name, at_p10=round(s.at_low, 2), at_p90=round(s.at_high, 2))
            for s in advice.tornado
        ],
        full_throughput_verdict=advice.full_throughput or None,
        utilisation=advice.utilisation,
        break_even_requests_day=dict(advice.break_even),
        parts={} if chosen is None or chosen.case is None else parts(chosen.case),
        retraining=None if advice.retraining is None else _money(advice.retraining),
        currency=advice.currency,
        notes=list(advice.notes),
    )


def parts(case: Case) -> dict[str, float]:
    """Costs at P50, by part; empty where something is missing."""
    if case.missing:
        return {}
    found = case.parts(costs.middle(case.questions, case.facts))
    return {name: round(float(value), 2) for name, value in found.items()}


def utilisation(case: Case) -> float | None:
    """The computing share of an option's machine."""
    volume, speed = costs.requests_day(case.questions, case.facts), case.candidate.documents_s
    if volume is None or speed is None or case.price is not None:
        return None
    busy = volume.mid * case.questions.load.days_month / (speed * 3600)
    return float(costs.utilisation_of(busy, 1.0))


def _money(cost: Percentiles) -> CostTold:
    return CostTold(p10=round(cost.p10, 2), p50=round(cost.p50, 2), p90=round(cost.p90, 2))


def _row(option: Option) -> OptionTold:
    money, quality = option.cost, option.quality
    candidate = None if option.case is None else option.case.candidate
    row = OptionTold(
        name=option.option,
        title=option.name,
        state=option.state,
        why=option.why,
        quality=None if quality is None else quality.value,
        interval=None if quality is None else (quality.low, quality.high),
        confidence=None if quality is None else quality.confidence,
        cost_month=None if money is None else _money(money),
        seconds_p95=option.seconds,
        missing=list(option.missing),
        groups_needed=option.groups_needed,
        groups_to_certify=option.certify,
        joules=None if candidate is None else candidate.joules,
    )
    if candidate is None or candidate.coverage is None:
        return row
    # The shares of a cascade.
    return row.having(coverage=candidate.coverage, rest=candidate.rest, bound=candidate.bound)


def _blocked(questions: Questions, today: date) -> str:
    if not questions.regulation.data_may_leave:
        return ""
    for price in questions.prices:
        if price.as_of is None or not price.source:
            return f"No verdict: the price of {price.name} has no date or no source."
        age = (today - price.as_of).days
        if age > questions.thresholds.price_days:
            return (
                f"No verdict: the price of {price.name} is {age} days old; look it up again. "
                f"Prices older than {questions.thresholds.price_days} days decide nothing."
            )
        if age < 0:
            return f"No verdict: the price of {price.name} is dated in the future."
    return ""


def _decide(questions: Questions, facts: MeasuredFacts, *, shared: bool = False) -> Recommendation:
    options = tuple(_options(questions, facts, shared=shared))
    return replace(_verdict(questions, facts, options), options=options)


def _options(questions: Questions, facts: MeasuredFacts, *, shared: bool) -> list[Option]:
    wanted: list[tuple[OptionMeasured, Price | None]] = []
    for name in OPTIONS:
        candidate = facts.candidate(name) or OptionMeasured(name, NAMES[name])
        wanted.append((with_people(candidate, agreement(questions, facts)), None))
    for paid in questions.prices:
        quality = None
        if paid.quality is not None:
            low, value, high = paid.quality
            quality = Quality(value, low, high, paid.groups)
        wanted.append((OptionMeasured("cloud", paid.name, quality, seconds=paid.seconds), paid))
    open_ = [c for c, _ in wanted if c.quality is not None and not c.quality.sealed]
    bought = sum(1 for c in open_ if c.option == "cloud")
    tried, delta = max(len(open_), facts.tried + bought), questions.regulation.delta
    found = []
    for candidate, price in wanted:
        if candidate.quality is not None:
            candidate = replace(candidate, quality=candidate.quality.together(tried, delta))
        found.append(_option(questions, facts, candidate, price, shared))
    if not questions.prices:
        why = "no prices were brought"
        if not questions.regulation.data_may_leave:
            why = "the data may not leave the network"
        found.append(
            Option("cloud", NAMES["cloud"], "excluded", why, None, None, None, ("prices",))
        )
    return found


def agreement(questions: Questions, facts: MeasuredFacts) -> float | None:
    """People's agreement: as answered, else by the labels."""
    told = questions.data.agreement
    return facts.agreement if told is None else told


def _option(
    questions: Questions,
    facts: MeasuredFacts,
    candidate: OptionMeasured,
    price: Price | None,
    shared: bool,
) -> Option:
    certify = candidate.certificate_groups or _certify(questions, candidate)
    case = Case(questions, facts, candidate, price, certify or 0, shared)
    missing = list(case.missing)
    state, why, needed = _judge(questions, facts, candidate, price)
    if candidate.quality is None:
        people = candidate.bound is not None and candidate.rest == "people"
        missing.insert(0, "data.agreement" if people else "quality")
    if candidate.seconds is None and questions.load.seconds is not None:
        missing.append("seconds")
    return Option(
        candidate.option, candidate.name, state, why, candidate.quality,
        costs.cost(case) if candidate.quality is not None else None,
        candidate.seconds, tuple(dict.fromkeys(missing)), needed, certify, case,
    )  # fmt: skip


def _certify(questions: Questions, candidate: OptionMeasured) -> int | None:
    if questions.regulation.bound is None or candidate.quality is None:
        return None
    return costs.groups_to_certify(
        questions.regulation.bound, 1 - candidate.quality.value, questions.regulation.delta
    )


def _judge(
    questions: Questions, facts: MeasuredFacts, candidate: OptionMeasured, price: Price | None
) -> tuple[str, str, int | None]:
    limits, load, domain = questions.thresholds, questions.load, questions.domain
    if price is not None and not questions.regulation.data_may_leave:
        return "excluded", "the data may not leave the network", None
    if candidate.option == "tuned" and (domain.facts_days or math.inf) < limits.facts_days:
        days = f"{domain.facts_days:g}"
        return "excluded", f"facts change every {days} days: weights would be out of date", None
    if facts.host_memory and candidate.memory > facts.host_memory:
        return "excluded", "it does not fit the memory of this host", None
    if load.seconds is not None and (candidate.seconds or 0) > load.seconds:
        return "excluded", f"{candidate.seconds:.3g} s of at most {load.seconds:g} s", None
    quality = candidate.quality
    if quality is None and candidate.bound is not None:
        return "unmeasured", "how often people agree, who answer the rest, is not known", None
    if quality is None:
        return "unmeasured", "not measured on these data", None
    bound = questions.regulation.bound
    if bound is not None and candidate.bound is not None and candidate.bound > bound:
        why = (
            f"its certificate shows at most {percent(candidate.bound)} errors, not {percent(bound)}"
        )
        return "below", why, None
    if bound is not None and candidate.option != "cascade":
        certify = _certify(questions, candidate)
        if certify is None:
            return "below", "its error rate is above the bound that has to be certified", None
    if quality.groups < verdict.FEWEST:
        why = f"measured on {quality.groups} groups; {verdict.FEWEST} are the least"
        return "open", why, verdict.FEWEST - quality.groups
    wanted = domain.quality
    if wanted is None:
        return "shown", "no quality was asked for", None
    outcome = verdict.at_least(quality.low, quality.high, quality.groups, wanted)
    if outcome == "pass":
        return "shown", f"at least {percent(quality.low)} of {percent(wanted)}", None
    if outcome == "fail":
        return "below", f"at most {percent(quality.high)} of {percent(wanted)}", None
    held = f"{between(quality.low, quality.high)} holds {percent(wanted)}"
    return "open", held, _more(quality, wanted)


def _more(quality: Quality, wanted: float) -> int | None:
    """Until the lower limit passes the wanted quality."""
    alpha = (1 - quality.confidence) / 2
    value = min(quality.value, 1 - 1 / (quality.groups + 2))
    if quality.value >= 1 and value <= wanted:  # without an error so far
        return max(1, power.groups_without_error(1 - wanted, alpha) - quality.groups)
    if value <= wanted:
        return None
    spread = math.sqrt(value * (1 - value))
    whole = power.groups_for_difference(value - wanted, spread, alpha=alpha)
    return None if whole is None else max(1, whole - quality.groups)


def _verdict(
    questions: Questions, facts: MeasuredFacts, options: tuple[Option, ...]
) -> Recommendation:
    groups = questions.data.groups if questions.data.groups is not None else facts.groups
    if few := verdict.too_few(groups):
        return Recommendation("not_enough_data", few, more=verdict.FEWEST - groups)
    shown = [option for option in options if option.state == "shown"]
    if shown:
        return _cheapest(questions, options, shown)
    return _none_shown(questions, facts, options)


def _cheapest(
    questions: Questions, options: tuple[Option, ...], shown: list[Option]
) -> Recommendation:
    order = {name: number for number, name in enumerate(NAMES)}
    priced = all(option.cost is not None for option in shown)

    def rank(option: Option) -> tuple[float, int]:
        money = option.cost.p50 if priced and option.cost is not None else 0.0
        return round(money, 2), order[option.option]

    first, *others = sorted(shown, key=rank)
    told_apart = True
    if priced and others and first.cost is not None and others[0].cost is not None:
        told_apart = first.cost.p90 < others[0].cost.p10
    donts = []
    if first.option not in _LLM:
        donts.append("no_language_model")
    if first.option not in ("tuned", "cascade"):
        donts.append("no_fine_tuning")
    return Recommendation(
        first.option,
        _sentence(questions, first, others, priced),
        donts=tuple(donts),
        told_apart=told_apart,
    )


def _sentence(questions: Questions, first: Option, others: list[Option], priced: bool) -> str:
    start = f"Use {first.name} ({NAMES[first.option]})."
    if first.option == "baseline":
        start = f"Don't use a language model: {first.name} is good enough."
    elif first.option not in ("tuned", "cascade"):
        start = f"Don't fine-tune: use {first.name} ({NAMES[first.option]})."
    currency = questions.costs.currency
    if not priced or first.cost is None:
        simplest = f"{start} It is the simplest that is shown to reach what is wanted"
        if first.cost is None:
            return f"{simplest}; what it costs is not known ({', '.join(first.missing)})."
        unknown = ", ".join(option.name for option in others if option.cost is None)
        return (
            f"{simplest}, at {first.cost.p50:,.2f} {currency} a month; what these cost is not "
            f"known: {unknown}."
        )
    said = f"{start} It costs {first.cost.p50:,.2f} {currency} a month"
    if others and others[0].cost is not None:
        return f"{said}; the next, {others[0].name}, {others[0].cost.p50:,.2f}."
    return f"{said}; it is the only one that is shown to reach what is wanted."


def _none_shown(
    questions: Questions, facts: MeasuredFacts, options: tuple[Option, ...]
) -> Recommendation:
    needed = [o for o in options if o.state == "open" and o.groups_needed is not None]
    if needed:
        best = min(needed, key=lambda option: option.groups_needed or 0)
        return Recommendation(
            "not_enough_data",
            f"Not enough data: {best.groups_needed} more independent groups. {best.name} may be "
            "good enough, and so many show it with probability 0.8.",
            more=best.groups_needed or 0,
        )
    tuned = next(option for option in options if option.option == "tuned")
    examples = questions.data.examples if questions.data.examples is not None else facts.examples
    least = questions.thresholds.examples_try
    if tuned.state == "unmeasured":
        if examples is None:
            return Recommendation(
                "not_enough_data",
                "Nothing that was measured is good enough, and how many labelled examples there "
                f"are is not known: answer data.examples. Tuning is not tried with fewer than "
                f"{least}.",
            )
        if examples < least:
            more = least - examples
            return Recommendation(
                "not_enough_data",
                f"Not enough data: {more} more labelled examples. Nothing that was measured is "
                f"good enough, and tuning is not tried with fewer than {least}.",
                more=more,
            )
        return Recommendation(
            "try_tuning",
            f"Tune a small model, and measure it: nothing that was measured is good enough, and "
            f"{examples} labelled examples are enough to try.",
        )
    agree = agreement(questions, facts)
    people = "The agreement of people is not known: answer data.agreement, or label items twice."
    if agree is not None:
        people = f"People agree in {percent(agree)}, and count as right as often."
    return Recommendation(
        "people",
        "Leave it to people: nothing that was measured is shown to be good enough, and more data "
        f"are not known to change that. {people}",
        donts=("no_language_model", "no_fine_tuning"),
    )


def _local(advice: Recommendation) -> Option | None:
    if advice.verdict != "cloud":
        return advice.chosen
    here = [o for o in advice.options if o.option != "cloud" and o.state == "shown"]
    return min(here, key=lambda o: o.cost.p50 if o.cost else math.inf, default=None)


def _break_evens(
    advice: Recommendation, local: Option | None
) -> tuple[tuple[str, float | None], ...]:
    if local is None or local.case is None:
        return ()
    paid = [o for o in advice.options if o.option == "cloud" and o.case is not None and o.cost]
    found = []
    for each in paid:
        at = costs.break_even(local.case, each.case) if each.case else None
        found.append((each.name, None if at is None else round(at, 2)))
    return tuple(found)


def _having(questions: Questions, name: str, value: float) -> Questions:
    return questions.having(name, exactly(value))


def _flips(questions: Questions, facts: MeasuredFacts, verdict: str) -> list[FlipTold]:
    found = []
    may = questions.regulation.data_may_leave
    other = replace(questions, regulation=replace(questions.regulation, data_may_leave=not may))
    then = _decide(other, facts).verdict
    if then != verdict:
        found.append(
            FlipTold(name="regulation.data_may_leave", now=may, then=not may, verdict=then)
        )
    ranges = {**questions.ranges}
    volume = costs.requests_day(questions, facts)
    if volume is not None:
        ranges["load.requests_day"] = exactly(volume.mid)
    for name, value in ranges.items():
        if value.mid > 0:
            having = partial(_having, questions, name)
            found += _turning(having, facts, name, value, verdict)
    wanted = questions.domain.quality
    if wanted is not None:

        def asking(quality: float) -> Questions:
            return replace(questions, domain=replace(questions.domain, quality=quality))

        found += _quality_flips(asking, facts, wanted, verdict)
    seconds = questions.load.seconds
    if seconds is not None:

        def within(most: float) -> Questions:
            return replace(questions, load=replace(questions.load, seconds=most))

        found += _turning(within, facts, "load.seconds", exactly(seconds), verdict)
    return found


def _turning(
    asked: Callable[[float], Questions], facts: MeasuredFacts, name: str, value: Range, verdict: str
) -> list[FlipTold]:
    found = []

    def changed(at: float) -> bool:
        return _decide(asked(at), facts).verdict != verdict

    search = partial(costs.first_true, low=1.0, high=_WIDEST, step=1.5, to=1e-4)
    up = search(lambda factor: changed(value.mid * factor))
    down = search(lambda factor: changed(value.mid / factor))
    for factor in (up, None if down is None else 1 / down):
        if factor is not None and factor != 1.0:
            at = value.mid * factor
            then = _decide(asked(at), facts).verdict
            found.append(FlipTold(name=name, now=value.mid, then=_rounded(at), verdict=then))
    return found


def _quality_flips(
    asking: Callable[[float], Questions], facts: MeasuredFacts, wanted: float, verdict: str
) -> list[FlipTold]:
    found = []
    grid = [number / 200 for number in range(1, 200)]
    above = next((q for q in grid if q > wanted and _other(asking(q), facts, verdict)), None)
    below = next(
        (q for q in reversed(grid) if q < wanted and _other(asking(q), facts, verdict)), None
    )
    for at in (above, below):
        if at is not None:
            then = _decide(asking(at), facts).verdict
            found.append(FlipTold(name="domain.quality", now=wanted, then=at, verdict=then))
    return found


def _other(questions: Questions, facts: MeasuredFacts, verdict: str) -> bool:
    return _decide(questions, facts).verdict != verdict


def _rounded(value: float) -> float:
    """Four significant digits, the precision of the answers."""
    return value if value == 0 else round(value, 3 - math.floor(math.log10(abs(value))))


def _of_chosen(chosen: Option | None) -> list[str]:
    if chosen is None or chosen.case is None or chosen.case.price is not None:
        return []
    candidate, found = chosen.case.candidate, []
    if candidate.bound is not None and candidate.coverage is not None:
        rest = "people" if candidate.rest == "people" else "the larger stage"
        found.append(
            f"Its first stage answers {percent(candidate.coverage)} with at most "
            f"{percent(candidate.bound)} errors ({candidate.source}); the rest goes to {rest}."
        )
    if candidate.joules is None:
        found.append(
            "Joules: not reported by this host, or not measured. Power is as you answered it."
        )
    else:
        found.append(
            f"An answer takes {candidate.joules:.3g} J of the processors and their memory; the "
            "rest of the machine is not in it."
        )
    return found


def _holds_for(questions: Questions, advice: Recommendation) -> list[str]:
    measured = [o.quality for o in advice.options if o.quality is not None]
    if not measured:
        return []
    sealed = any(q.sealed for q in measured)
    alone = " Sealed items chose nothing: their limits hold by themselves." if sealed else ""
    return [
        "By the labels of the dataset, each group counting once, for the population that its "
        "groups were drawn from: the lower limits of what was measured on open items hold together "
        f"with {percent(1 - questions.regulation.delta)} confidence.{alone}"
    ]


def _notes(questions: Questions, facts: MeasuredFacts, advice: Recommendation) -> tuple[str, ...]:
    found = _holds_for(questions, advice)
    limits = questions.thresholds
    if advice.full_throughput and advice.full_throughput != advice.verdict:
        found.append(
            f"A calculation at full throughput says {NAMES[advice.full_throughput]}: it spreads "
            "the machine over requests that do not come."
            if advice.full_throughput in NAMES
            else "A calculation at full throughput comes to another verdict."
        )
    if not advice.told_apart:
        found.append("Its cost and that of the next option overlap: they cannot be distinguished.")
    chosen = advice.chosen
    if chosen is not None and questions.regulation.bound is not None and chosen.certify:
        found.append(
            f"A certificate of at most {percent(questions.regulation.bound)} errors takes "
            f"{chosen.certify} independent groups with labels."
        )
    found += _of_chosen(chosen)
    gain = per_doubling(facts.curve)
    if gain is not None:
        worth = "is worth its labels" if gain >= _FEWEST_GAIN else "is not worth its labels"
        found.append(
            f"By the learning curve, twice as many examples bring {100 * gain:+.1f} points: more "
            f"data {worth}."
        )
    agree, quality = agreement(questions, facts), questions.domain.quality
    if agree is not None and quality is not None and quality > agree:
        found.append(
            f"People agree with each other on {percent(agree)} of items: "
            f"{percent(quality)} cannot be measured with these labels."
        )
    volume = costs.requests_day(questions, facts)
    if (
        volume is not None
        and volume.mid < limits.calls_day
        and advice.verdict in ("tuned", "larger")
    ):
        found.append(
            f"{volume.mid:,.0f} requests a day are below {limits.calls_day:,.0f}, from which an "
            f"own model tends to pay ({SOURCE})."
        )
    examples = questions.data.examples if questions.data.examples is not None else facts.examples
    if advice.verdict == "tuned" and examples is not None and examples < limits.examples_production:
        found.append(
            f"{examples:,} examples are a trial; production begins at "
            f"{limits.examples_production:,} ({SOURCE})."
        )
    if advice.verdict in ("tuned", "cascade", "baseline"):
        months = questions.domain.changes_months.mid
        found.append(f"It is fitted again every {months:g} months, or when drift is found.")
    return tuple(found)
