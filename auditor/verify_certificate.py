#!/usr/bin/env python3
"""Checks the certificate of a gate or a route: one file, Python's standard library, nothing else.

    verify_certificate.py CERTIFICATE EVALUATOR.pub [--outcomes FILE] [--proof FILE] [--task HEX]
                          [--model HEX] [--dataset HEX] [--engine TEXT] [--person PERSON.pub]
                          [--revoked HINT] [--at TIME]

CERTIFICATE is what `appliance eval export` or `appliance route export` wrote, EVALUATOR.pub the
evidence key as you keep it yourself. FILE of --outcomes is what `appliance eval outcomes` gave an
auditor, and with --item the FILE of --proof. Exit: 0 it holds, 1 it does not, 2 usage. A refusal
begins with a stable code.

It checks the signature; that terms, digests and verdict agree with the specification inside and
with each other; with --person that this person signed the specification; with the digests that it
is for these; with --at that it was valid then. With the outcomes it computes their root, the
interval that the certificate names, and the verdict again, to the last digit. One that names no
interval is of an older version, too short below 350 groups: it says so. So does one that tells no
quality, and decided floors by Wilson's interval without correction. Items on which both sides agree
need no label, and count as no difference.

Of a route it computes from the outcomes each answer's confidence, with the room for company;
whether the draw was the announced one, by groups or by answers; the limit of the errors and the
comparison with the second stage at each threshold, in order; the threshold, and each number that is
told. One that was carried over must bear what the engine may have changed, at each threshold. It
prints the SHA-256 of what was fixed before (`plan_sha256` of the log's entry of the look). It
believes which items the rules kept from the first stage, the weight of groups that were not drawn,
how many open groups each threshold accepts, and the backtest, which needs open items. Task is the
route, model its first stage's task.

Sources: FIPS 186-5 (ECDSA), DSSE v1.0, in-toto Statement v1, RFC 6962 2.1; Tango 1998, Bonett &
Price 2012, Hall 1992, Newcombe 1998 and Dean & Pagano 2015 for the intervals, Berger 1982 for the
floors; Clopper & Pearson 1934 and Lahiri 1951 for routes.
"""

import argparse
import base64
import binascii
import json
import math
import re
import sys
from bisect import bisect_right
from datetime import UTC, datetime
from hashlib import sha256, sha384, sha512
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any, NoReturn

MILLION, COARSE, FEWEST = 1_000_000, 10_000, 50
STATEMENT = "https://in-toto.io/Statement/v1"
RESULT = "https://in-toto.io/attestation/test-result/v0.1"
SPECIFICATION = "https://appliance.invalid/gate-specification/v1"
ROUTE = "https://appliance.invalid/route-certificate/v1"
ROUTE_SPECIFICATION = "https://appliance.invalid/route-specification/v1"
PAYLOAD = "application/vnd.in-toto+json"
RESULTS = {"pass": "PASSED", "fail": "FAILED", "underpowered": "WARNED"}
INTERVALS = ("", "tango", "two-pseudo-groups")
HEX = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Wrong(Exception):
    """Why it does not hold: a stable code, then a sentence."""


def refuse(code: str, why: str) -> NoReturn:
    """Raise it."""
    raise Wrong(f"{code}: {why}")


# ECDSA on P-256, P-384 and P-521. Slow and simple; it only handles public data.


class Curve:
    """y² = x³ - 3x + b over p, base point g of order n, with its object id and its hash."""

    def __init__(self, oid: str, size: int, hashed: Any, p: int, numbers: str) -> None:
        self.oid, self.size, self.hashed, self.p = bytes.fromhex(oid), size, hashed, p
        self.n, self.b, x, y = (int(part, 16) for part in numbers.split())
        self.g = (x, y)

    def holds(self, x: int, y: int) -> bool:
        """True if a point is on the curve."""
        return max(x, y) < self.p and (y * y - (x * x * x - 3 * x + self.b)) % self.p == 0

    def add(self, a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int] | None:
        """Sum of two points; None is the point at infinity."""
        if a is None or b is None:
            return a or b
        if a[0] == b[0]:
            if (a[1] + b[1]) % self.p == 0:
                return None
            slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, self.p) % self.p
        else:
            slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, self.p) % self.p
        x = (slope * slope - a[0] - b[0]) % self.p
        return x, (slope * (a[0] - x) - a[1]) % self.p

    def times(self, k: int, a: tuple[int, int]) -> tuple[int, int] | None:
        """k times a point."""
        total: tuple[int, int] | None = None
        step: tuple[int, int] | None = a
        while k:
            if k & 1:
                total = self.add(total, step)
            step = self.add(step, step)
            k >>= 1
        return total


CURVES = (
    Curve(
        "2a8648ce3d030107", 32, sha256, 2**256 - 2**224 + 2**192 + 2**96 - 1,
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551 "
        "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b "
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296 "
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ),
    Curve(
        "2b81040022", 48, sha384, 2**384 - 2**128 - 2**96 + 2**32 - 1,
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196a"
        "ccc52973 "
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8ed"
        "d3ec2aef "
        "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e38"
        "72760ab7 "
        "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c"
        "90ea0e5f",
    ),
    Curve(
        "2b81040023", 66, sha512, 2**521 - 1,
        "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc"
        "0148f709a5d03bb5c9b8899c47aebb6fb71e91386409 "
        "51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0"
        "bd3bb1bf073573df883d2c34f1ef451fd46b503f00 "
        "c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc1"
        "27a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66 "
        "11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b"
        "9013fad0761353c7086a272c24088be94769fd16650",
    ),
)  # fmt: skip


def der(tag: int, content: bytes) -> bytes:
    """One DER value of at most 65,535 bytes."""
    size = len(content)
    head = bytes([size]) if size < 128 else bytes([0x81, size])
    return bytes([tag]) + (head if size < 256 else b"\x82" + size.to_bytes(2)) + content


class Key:
    """A public key from PEM. Raises Wrong."""

    def __init__(self, pem: str) -> None:
        body = re.search(
            "-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\\s]+)-----END PUBLIC KEY-----", pem
        )
        raw = base64.b64decode("".join(body[1].split()), validate=True) if body else b""
        for curve in CURVES:
            point = raw[-2 * curve.size :]
            kind = der(0x30, der(6, bytes.fromhex("2a8648ce3d0201")) + der(6, curve.oid))
            if raw == der(0x30, kind + der(3, b"\x00\x04" + point)):
                x, y = int.from_bytes(point[: curve.size]), int.from_bytes(point[curve.size :])
                if curve.holds(x, y):
                    self.curve, self.point = curve, (x, y)
                    break
        else:
            refuse("signature_key_unsupported", "this is no key on P-256, P-384 or P-521")
        text = base64.b64encode(raw).decode()
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        whole = ["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]
        self.hint = sha256("\n".join(whole).encode()).hexdigest()

    def signed(self, signature: bytes, message: bytes) -> bool:
        """True if an ECDSA signature in DER holds."""
        c = self.curve
        parts = _integers(signature)
        if parts is None or not all(0 < part < c.n for part in parts):
            return False
        r, s = parts
        digest = c.hashed(message).digest()
        number = int.from_bytes(digest) >> max(0, 8 * len(digest) - c.n.bit_length())
        w = pow(s, -1, c.n)
        total = c.add(c.times(number * w % c.n, c.g), c.times(r * w % c.n, self.point))
        return total is not None and total[0] % c.n == r


def _integers(data: bytes) -> tuple[int, int] | None:
    """The two integers of a signature; None unless it is their one spelling."""
    try:
        at = 2 if data[1] < 128 else 3
        first = data[at + 2 : at + 2 + data[at + 1]]
        rest = at + 2 + data[at + 1]
        second = data[rest + 2 : rest + 2 + data[rest + 1]]
    except IndexError:
        return None
    if der(0x30, der(2, first) + der(2, second)) != data:
        return None
    found = int.from_bytes(first, signed=True), int.from_bytes(second, signed=True)
    spelled = [n.to_bytes(n.bit_length() // 8 + 1) for n in found if n > 0]
    return found if spelled == [first, second] else None


# JSON and envelopes.


def load(text: bytes, code: str) -> Any:
    """Strict JSON: no key twice, no NaN."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            refuse(code, "a key occurs twice")
        return table

    def constant(name: str) -> NoReturn:
        refuse(code, f"{name} is no number")

    try:
        return json.loads(text.decode(), object_pairs_hook=once, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        refuse(code, f"it is no JSON: {error}")


def dump(value: Any) -> bytes:
    """The one spelling that is hashed and signed."""
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    ).encode()


class Envelope:
    """A DSSE envelope with one signature. Raises Wrong."""

    def __init__(self, value: Any, code: str) -> None:
        try:
            (signature,) = value["signatures"]
            self.payload = base64.b64decode(value["payload"], validate=True)
            self.hint, self.signature = signature["keyid"], base64.b64decode(signature["sig"])
            if value["payloadType"] != PAYLOAD:
                refuse(code, "its payload is of another type")
        except (TypeError, KeyError, ValueError, binascii.Error):
            refuse(code, "this is no envelope with one signature")
        self.digest = sha256(self.payload).hexdigest()

    def check(self, key: Key, code: str) -> None:
        """The key must have signed it."""
        kind = PAYLOAD.encode()
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)
        if not key.signed(self.signature, message):
            refuse(code, "the signature does not hold")


def opened(
    text: bytes, evaluator: Key, revoked: list[str], bad: str, unsigned: str
) -> tuple[str, dict[str, Any]]:
    """The id and the statement of a certificate that the evaluator signed. Raises Wrong."""
    envelope = Envelope(load(text, bad), bad)
    if envelope.hint in revoked:
        refuse("evaluator_revoked", f"key {envelope.hint} is revoked")
    if envelope.hint != evaluator.hint:
        refuse("evaluator_not_allowed", f"key {envelope.hint} signed it")
    envelope.check(evaluator, unsigned)
    return envelope.digest, load(envelope.payload, bad)


def specified(
    value: Any, person: Key | None, revoked: list[str], bad: str, unsigned: str
) -> Envelope:
    """The specification inside; its signature is checked where the key is given. Raises Wrong."""
    inner = Envelope(value, bad)
    if inner.hint in revoked:
        refuse("key_revoked", f"key {inner.hint} is revoked")
    if person is not None and inner.hint != person.hint:
        refuse("specifier_not_allowed", f"key {inner.hint} signed the specification")
    if person is not None:
        inner.check(person, unsigned)
    return inner


# The statement of a gate.


class Certificate:
    """A certificate whose parts agree. Raises Wrong."""

    other_task, other_dataset = "evaluation_other_task", "evaluation_other_dataset"
    other_engine, expired = "evaluation_other_engine", "evaluation_expired"
    too_new, inconsistent = "evaluation_from_future", "evaluation_inconsistent"

    def __init__(self, text: bytes, evaluator: Key, person: Key | None, revoked: list[str]) -> None:
        bad = "evaluation_malformed"
        self.id, statement = opened(text, evaluator, revoked, bad, "evaluation_signature")
        try:
            self.block = statement["predicate"]["evaluation"]
            inner = specified(
                self.block["specification"], person, revoked, bad, "evaluation_signature"
            )
            self.terms = load(inner.payload, bad)
            self._agree(statement, inner.digest)
            self.issued, self.until = moment(self.block["issued"]), moment(self.block["validUntil"])
            self.root, self.size = self.block["merkleRoot"], self.block["sampleSize"]
            self.model, self.engine = self.wanted["model_digest"], self.block["engine"]
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            refuse(bad, f"a part is missing or of another kind: {error}")
        if self.issued > self.until:
            refuse("evaluation_inconsistent", "its dates do not rise")
        if (self.until - self.issued).total_seconds() > 366 * 86_400:
            refuse("evaluation_inconsistent", "it is valid for more than a year")

    @property
    def wanted(self) -> dict[str, Any]:
        found: dict[str, Any] = self.terms["predicate"]
        return found

    @property
    def subjects(self) -> list[tuple[str, str]]:
        return [(s["name"], s["digest"]["sha256"]) for s in self.terms["subject"]]

    def _agree(self, statement: dict[str, Any], specified: str) -> None:
        block, wanted, predicate = self.block, self.wanted, statement["predicate"]
        task, dataset = self.subjects
        configuration = {
            f"model {wanted['model']}": wanted["model_digest"],
            f"dataset {dataset[0]}": dataset[1],
            "specification": specified,
            "outcomes": block["merkleRoot"],
        }
        if wanted["incumbent_digest"]:
            configuration[f"incumbent {wanted['incumbent']}"] = wanted["incumbent_digest"]
        packs = block.get("packs", {})
        configuration |= {f"pack {name}": p["sha256"] for name, p in sorted(packs.items())}
        named = [{"name": n, "digest": {"sha256": d}} for n, d in configuration.items()]
        verdicts = [block["verdict"], block["comparison"], *block["floors"].values()]
        unasked = block.get("unasked", 0)
        holds = {
            "its kinds are others": statement["_type"] == self.terms["_type"] == STATEMENT
            and statement["predicateType"] == RESULT
            and self.terms["predicateType"] == SPECIFICATION,
            "a verdict is none": set(verdicts) <= set(RESULTS),
            "a digest is none": all(HEX.fullmatch(d) for d in (task[1], *configuration.values())),
            "its subject is not the specification's": statement["subject"]
            == [{"name": task[0], "digest": {"sha256": task[1]}}],
            "its result is not its verdict": predicate["result"] == RESULTS.get(block["verdict"])
            and block["passed"] is (block["verdict"] == "pass"),
            "its terms are not the specification's": block["marginMicros"]
            == wanted["margin_micros"]
            and block["alphaMicros"] == wanted["alpha_micros"]
            and block["looks"] == wanted["looks"]
            and block.get("schedule", []) == wanted.get("schedule", [])
            and block["metric"] == wanted["metric"]
            and block["threshold"] == -wanted["margin_micros"] / MILLION
            and block["comparator"] == ">",
            "its floors are not the specification's": block["floors"].keys()
            == wanted["floors"].keys()
            and packs.keys() == wanted.get("packs", {}).keys(),
            "its digests are not the specification's": predicate["configuration"] == named,
            "its look is none of the budget's": 1 <= block["look"] <= wanted["looks"],
            "its schedule spends alpha more than once": spent_once(wanted),
            "its interval is none": block.get("interval", "") in INTERVALS,
            "its items have labels": not block.get("agreed")
            or (wanted["split"] == "unlabelled" and not wanted["floors"]),
            "its numbers do not agree": 1 <= block["groups"] <= block["sampleSize"]
            and block["lowMicros"] <= block["highMicros"]
            and 0 <= unasked <= 0.04 * (block["sampleSize"] + unasked),
            "its verdict does not follow from its interval": self._follows(),
            "an engine that gave the same answers may have changed too much": self._bears(),
        }
        for why, held in holds.items():
            if not held:
                refuse("evaluation_inconsistent", why)

    def packs(self) -> set[str]:
        """The verdicts of the packs. Raises Wrong."""
        verdicts = set()
        for name, pack in self.block.get("packs", {}).items():
            right, items = pack["right"], pack["items"]
            if {type(right), type(items)} != {int} or not 0 <= right <= items or not items:
                refuse("evaluation_malformed", f"pack {name!r} has other numbers than it can have")
            reached = right * MILLION >= self.wanted.get("packs", {}).get(name, 0) * items
            verdicts.add("pass" if reached else "fail")
        return verdicts

    def _bears(self) -> bool:
        """A pass that was carried over bears what the other engine may have changed."""
        block, lows = self.block, self.block.get("floorLowsMicros", {})
        if (same := block.get("unflippedGroups")) is None:
            return True
        rooms = {n: lows.get(n, least) - least for n, least in self.wanted["floors"].items()}
        rooms[""] = min(rooms.get("", MILLION), block["lowMicros"] + block["marginMicros"] - 1)
        changes = {n: change_micros(same.get(n, 0), block["alphaMicros"]) for n in rooms}
        return "carriedFrom" in block and all(changes[n] <= rooms[n] for n in rooms)

    def _follows(self) -> bool:
        block = self.block
        verdicts = {block["comparison"], *block["floors"].values()}
        margin = block["marginMicros"]
        enough = block["groups"] >= FEWEST or verdicts == {"underpowered"}
        follows = {
            "pass": block["lowMicros"] > -margin - COARSE,
            "fail": block["highMicros"] < -margin + COARSE,
        }.get(block["comparison"], True)
        return enough and follows and block["verdict"] == all_of(verdicts | self.packs())


def change_micros(groups: int, alpha_micros: int) -> int:
    """The upper limit of a share that was seen in none of so many groups, exact."""
    share = -math.expm1(math.log(alpha_micros / MILLION) / groups) if groups else 1.0
    return math.ceil(share * MILLION)


def spent_once(wanted: dict[str, Any]) -> bool:
    """True if the looks have a share of alpha each, and together no more than all of it."""
    shares = wanted.get("schedule", [])
    whole = all(type(share) is int and share > 0 for share in shares)
    return not shares or (whole and len(shares) == wanted["looks"] and sum(shares) <= MILLION)


def moment(text: str) -> datetime:
    """A moment in UTC. Raises ValueError."""
    if not TIME.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not like 2026-11-24T16:00:00Z")
    return datetime.fromisoformat(text)


def all_of(verdicts: set[str]) -> str:
    """Each must pass, and one failure fails."""
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "underpowered"


# Outcomes: the root, and the verdict again.


def leaf(line: bytes) -> bytes:
    """RFC 6962 hash of a line."""
    return sha256(b"\0" + line).digest()


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962 root."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])).digest()


def read_outcomes(data: bytes) -> list[dict[str, Any]]:
    """The outcomes, in the order of their items. Raises Wrong."""
    bad = "outcomes_invalid"
    whole, _, rest = data.rpartition(b"\n")
    found = [load(line, bad) for line in whole.split(b"\n")]
    try:
        for line, one in zip(whole.split(b"\n"), found, strict=True):
            if dump(one) != line:
                refuse(bad, "a line is not canonical")
            for side in ("candidate", "incumbent"):
                failed = bool(one[f"{side}_failure"])
                if type(one[side]) is not int or not 0 <= one[side] <= MILLION:
                    refuse(bad, "a score is not within 0 and 1,000,000")
                if (one[f"{side}_answer"] is None) != failed or (failed and one[side]):
                    refuse(bad, "a failure has a code, no answer and a score of 0")
            same = one["candidate_answer"] == one["incumbent_answer"] and not one["expected"]
            if one.get("agreed") and (not same or one["candidate"] or one["incumbent"]):
                refuse(bad, "without a label two answers are the same, and no difference")
        items = [one["item"] for one in found]
    except (TypeError, KeyError) as error:
        refuse(bad, f"a line lacks {error}")
    if rest or items != sorted(set(items)):
        refuse(bad, "the items do not rise, or the last line is cut")
    return found


def means(values: list[float], names: list[str]) -> list[float]:
    """The mean of each group."""
    held: dict[str, list[float]] = {}
    for value, name in zip(values, names, strict=True):
        held.setdefault(name, []).append(value)
    return [math.fsum(v) / len(v) for v in held.values()]


def tango(b: int, c: int, n: int, z: float) -> tuple[float, float]:
    """Tango's score interval, by bisection: b times the first alone was right, c the other."""

    def statistic(delta: float) -> float:
        middle = -b - c + (2 * n - b + c) * delta
        free = -c * delta * (1 - delta)
        rest = (math.sqrt(max(0.0, middle * middle - 8 * n * free)) - middle) / (4 * n)
        spread = n * (2 * rest + delta * (1 - delta))
        distance = b - c - n * delta
        if spread <= 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / math.sqrt(spread)

    def root(beyond: float, low: float, high: float) -> float:
        while high - low > 1e-12:
            middle = (low + high) / 2
            if statistic(middle) + beyond > 0:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    value = (b - c) / n
    return (
        -1.0 if value <= -1 else root(-z, -1.0, value),
        1.0 if value >= 1 else root(z, value, 1.0),
    )


def outward(gaps: list[float], added: int, z: float) -> tuple[float, float]:
    """Bonett & Price's limits with pseudo-groups for each side, moved outward by skewness."""
    size = len(gaps) + 2 * added
    middle = math.fsum(gaps) / size
    spread = (math.fsum(gap * gap for gap in gaps) + 2 * added) / size - middle * middle
    cubes = math.fsum((g - middle) * (g - middle) * (g - middle) for g in gaps)
    up, down = 1 - middle, -1 - middle
    skew = (cubes + added * (up * up * up + down * down * down)) / size
    skew /= spread * math.sqrt(spread)
    error = math.sqrt(spread / size)
    further = error * (2 * z * z + 1) / (6 * math.sqrt(size))
    low = middle - z * error - further * max(0.0, -skew)
    return max(-1.0, low), min(1.0, middle + z * error + further * max(0.0, skew))


def coarse(value: float, low: float, high: float) -> tuple[int, int, int]:
    """To the point, the limits outward."""
    p = MILLION // COARSE
    return round(value * p) * COARSE, math.floor(low * p) * COARSE, math.ceil(high * p) * COARSE


class Judged:
    """The numbers of a certificate, from outcomes and terms.

    An unnamed interval is that of older versions, with one pseudo-group for each side; they did not
    correct a mean.
    """

    def __init__(
        self,
        wanted: dict[str, Any],
        outcomes: list[dict[str, Any]],
        look: int = 1,
        *,
        unnamed: bool = False,
        corrected: bool = True,
    ) -> None:
        self.corrected = corrected and not unnamed
        names = [one["group"] for one in outcomes]
        alpha = wanted["alpha_micros"] / MILLION / wanted["looks"]
        if shares := wanted.get("schedule"):
            alpha = wanted["alpha_micros"] * shares[look - 1] / MILLION / MILLION
        z = self.z = NormalDist().inv_cdf((1 + (1 - 2 * alpha)) / 2)
        sides = [(o["candidate"], o["incumbent"]) for o in outcomes]
        gaps = means([a / MILLION - b / MILLION for a, b in sides], names)
        n = self.groups = len(gaps)
        self.interval = "two-pseudo-groups"
        if n == len(sides) and {v for side in sides for v in side} <= {0, MILLION}:
            self.interval = "tango"
        if unnamed:
            self.interval = ""
        if self.interval == "tango":
            low, high = tango(sides.count((MILLION, 0)), sides.count((0, MILLION)), n, z)
        else:
            low, high = outward(gaps, 1 if unnamed else 2, z)
        self.value, margin = math.fsum(gaps) / n, wanted["margin_micros"] / MILLION
        self.comparison = "underpowered"
        if n >= FEWEST and low > -margin:
            self.comparison = "pass"
        elif n >= FEWEST and high < -margin:
            self.comparison = "fail"
        self.lows: dict[str, int] = {}
        self.floors = {
            name: self._floor(name, floor / MILLION, outcomes)
            for name, floor in wanted["floors"].items()
        }
        self.verdict = all_of({self.comparison, *self.floors.values()})
        self.told = coarse(self.value, low, high)
        right = means([o["candidate"] / MILLION for o in outcomes], names)
        self.quality = coarse(*self._mean(right, len(outcomes)))

    def _floor(self, stratum: str, floor: float, outcomes: list[dict[str, Any]]) -> str:
        chosen = [o for o in outcomes if stratum in ("", o["stratum"])]
        self.lows[stratum] = 0
        if not chosen:
            return "underpowered"
        found = means([o["candidate"] / MILLION for o in chosen], [o["group"] for o in chosen])
        value, low, high = self._mean(found, len(chosen))
        self.lows[stratum] = coarse(value, low, high)[1]
        if len(found) < FEWEST or low < floor <= high:
            return "underpowered"
        return "pass" if low >= floor else "fail"

    def _mean(self, found: list[float], items: int) -> tuple[float, float, float]:
        """The mean of groups with its limits: Wilson's, corrected unless it is older."""
        n, total, squares = len(found), math.fsum(found), math.fsum(v * v for v in found)
        value, size = total / n, float(n)
        if self.corrected:
            middle = (total + 1) / (n + 2)
            spread = (squares + 1) / (n + 2) - middle * middle
            size = min(n * middle * (1 - middle) / spread, float(items))
            k = min(value * size, size)
            return value, self._corrected(k, size), 1 - self._corrected(size - k, size)
        spread = math.fsum((v - value) * (v - value) for v in found) / max(1, n - 1)
        if 0 < value < 1 and n > 1:
            free = value * (1 - value) / (spread / n) if spread > 0 else math.inf
            size = min(free, float(items))
        k, z = value * size, self.z
        p = k / size
        middle = (p + z * z / (2 * size)) / (1 + z * z / size)
        half = z * math.sqrt(p * (1 - p) / size + z * z / (4 * size * size)) / (1 + z * z / size)
        low = 0.0 if k == 0 else max(0.0, middle - half)
        return value, low, 1.0 if k == size else min(1.0, middle + half)

    def _corrected(self, k: float, n: float) -> float:
        """The lower limit of k of n; Newcombe 1998, method 4."""
        if k == 0:
            return 0.0
        z, p = self.z, k / n
        root = z * z - 2 - 1 / n + 4 * p * (n * (1 - p) + 1)
        return max(0.0, (2 * k + z * z - 1 - z * math.sqrt(max(0.0, root))) / (2 * (n + z * z)))


def judge_again(certificate: Certificate, outcomes: list[dict[str, Any]]) -> None:
    """Check that the outcomes are the signed ones, and that the verdict follows from them."""
    block = certificate.block
    if root([leaf(dump(one)) for one in outcomes]).hex() != block["merkleRoot"]:
        refuse("evaluation_inconsistent", "the outcomes are not those that were signed")
    named, lows = block.get("interval", ""), block.get("floorLowsMicros")
    told = block.get("qualityMicros")
    found = Judged(
        certificate.wanted, outcomes, block["look"], unnamed=not named, corrected=told is not None
    )
    verdict = all_of({found.comparison, *found.floors.values()} | certificate.packs())
    signed = (
        block["verdict"], block["comparison"], block["floors"], block["groups"],
        block["sampleSize"], block["failures"], block["incumbentFailures"],
        (block["differenceMicros"], block["lowMicros"], block["highMicros"]), named, lows or {},
        block.get("agreed", 0),
        told,
    )  # fmt: skip
    again = (
        verdict, found.comparison, found.floors, found.groups, len(outcomes),
        sum(1 for o in outcomes if o["candidate_failure"]),
        sum(1 for o in outcomes if o["incumbent_failure"]),
        found.told, found.interval, found.lows if lows is not None else {},
        sum(1 for o in outcomes if o.get("agreed")),
        None if told is None else dict(zip(("value", "low", "high"), found.quality, strict=True)),
    )  # fmt: skip
    if signed != again:
        refuse("evaluation_inconsistent", f"from these outcomes follows {again}")


def check_proof(certificate: "Certificate | Route", text: bytes) -> str:
    """Check that one outcome is a leaf of the signed root; returns its item."""
    bad = "outcomes_invalid"
    proof = load(text, bad)
    try:
        index, size, line = proof["index"], proof["size"], proof["line"].encode()
        node, hashes = leaf(line), [bytes.fromhex(h) for h in proof["proof"]]
        item = str(load(line, bad)["item"])
        place, last = int(index), int(size) - 1
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        refuse(bad, f"this is no proof: {error}")
    for sibling in hashes:
        if place & 1 or place == last:
            node = sha256(b"\1" + sibling + node).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + sibling).digest()
        place, last = place >> 1, last >> 1
    if last or certificate.size not in (None, size) or node.hex() != certificate.root:
        refuse(certificate.inconsistent, "the outcome is none of those that were signed")
    return item


def check_use(certificate: "Certificate | Route", given: argparse.Namespace) -> None:
    """Check the certificate's subject and time."""
    task, dataset = certificate.subjects
    for code, what, wanted, here in (
        (certificate.other_task, "task", given.task, task[1]),
        (certificate.other_task, "model", given.model, certificate.model),
        (certificate.other_dataset, "dataset", given.dataset, dataset[1]),
        (certificate.other_engine, "engine", given.engine, certificate.engine),
    ):
        if wanted is not None and wanted != here:
            refuse(code, f"its {what} is {here}")
    if given.at is not None:
        if given.at < certificate.issued:
            refuse(certificate.too_new, f"it was signed at {certificate.issued:%Y-%m-%dT%H:%M:%SZ}")
        if given.at > certificate.until:
            refuse(
                certificate.expired, f"it was valid until {certificate.until:%Y-%m-%dT%H:%M:%SZ}"
            )


# Routes: confidence, the draw, and the threshold again.

LABELS = ("top", "margin", "entropy", "mass")
FIELDS = ("least", "mean", "quantile", "closest", "widest", "masked", "agreement", "length")
FORMS = {len(n): n for form in (LABELS, FIELDS) for n in (form, (*form, "p_true"))}
COMPANY, TOKENS, FEWEST_ACCEPTED = 0.5, 0.75, 60


class Route:
    """The certificate of a route whose parts agree. Raises Wrong."""

    other_task = other_dataset = other_engine = too_new = "route_certificate_other"
    expired, inconsistent = "route_certificate_expired", "route_certificate_inconsistent"
    size = None

    def __init__(self, text: bytes, evaluator: Key, person: Key | None, revoked: list[str]) -> None:
        bad = "route_certificate_malformed"
        self.id, statement = opened(text, evaluator, revoked, bad, "route_certificate_signature")
        try:
            predicate = statement["predicate"]
            self.found, self.at = predicate["found"], predicate["circumstances"]
            inner = specified(
                predicate["specification"], person, revoked, bad, "specification_signature"
            )
            self.terms = load(inner.payload, bad)
            self.wanted = self.terms["predicate"]
            self.weight = self.wanted.get("weight") or "groups"
            self.subjects = [(s["name"], s["digest"]["sha256"]) for s in self.terms["subject"]]
            self.issued, self.until = (
                datetime.fromtimestamp(self.at[name] // MILLION, UTC)
                for name in ("issued_us", "valid_until_us")
            )
            self.root, self.engine = self.found["merkle_root"], self.at["engine"]
            self.model, self.certified = self.wanted["small_digest"], not self.found["reason"]
            self._agree(statement)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            refuse(bad, f"a part is missing or of another kind: {error}")

    def _agree(self, statement: dict[str, Any]) -> None:
        found, wanted, threshold = self.found, self.wanted, self.found["threshold_micros"]
        fixed, low = found.get("thresholds", []), found["low_micros"]
        named = [(wanted[n], wanted[f"{n}_digest"]) for n in ("route", "dataset")]
        certified = self.certified
        holds = {
            "its kinds are others": statement["_type"] == self.terms["_type"] == STATEMENT
            and statement["predicateType"] == ROUTE
            and self.terms["predicateType"] == ROUTE_SPECIFICATION,
            "its subject is not the specification's": statement["subject"]
            == self.terms["subject"][:1]
            and self.subjects == named,
            "it has a threshold and a reason against one": (threshold is not None) is certified,
            "it certifies an error above its bound": not certified
            or found["limit_micros"] <= wanted["error_micros"],
            "it certifies a route that is worse by the margin": not certified
            or low is None
            or low > -wanted["margin_micros"],
            "its threshold is none of those that were fixed before": not (certified and fixed)
            or threshold in fixed,
            "its thresholds do not fall": all(a > b for a, b in pairwise(fixed)),
            "its groups weigh as too few of one size": not (certified and wanted.get("weight"))
            or found["effective"] >= FEWEST,
            "what counts alike is neither groups nor answers": self.weight in ("groups", "answers"),
            "its look or its dates cannot be": 1 <= self.at["look"] <= wanted["looks"]
            and self.issued <= self.until,
            "its schedule spends delta more than once": spent_once(wanted),
            "it does not bear the change": self._bears(),
        }
        for why, held in holds.items():
            if not held:
                refuse(self.inconsistent, why)

    def _bears(self) -> bool:
        """One that was carried over bears what the other engine may have changed."""
        found, wanted, at = self.found, self.wanted, self.at
        same, chosen = at.get("unflipped"), at.get("accepted", [])
        if not same:
            return not chosen
        rooms = {"accepted": wanted["error_micros"] - found["limit_micros"]}
        if found["low_micros"] is not None:
            rooms[""] = (found["low_micros"] + wanted["margin_micros"] - 1) // 2
        changes = {n: change_micros(same.get(n, 0), wanted["delta_micros"]) for n in rooms}
        borne = at["carried_from"] and all(changes[n] <= rooms[n] for n in rooms)
        if not chosen:
            return bool(borne)
        place = len(chosen) - 1
        named = found["thresholds"][place : place + 1] == [found["threshold_micros"]]
        return bool(borne and named and chosen == sorted(chosen)) and chosen[-1] == same["accepted"]

    def moved(self, place: int) -> tuple[int, int]:
        """The most that an engine changed by which the threshold was chosen, in millionths.

        Of the answers that the threshold accepts, and of the difference to the second stage; 0
        where it is the calibration's own.
        """
        if not (chosen := self.at.get("accepted")):
            return 0, 0
        delta = self.wanted["delta_micros"]
        return change_micros(chosen[place], delta), 2 * change_micros(
            self.at["unflipped"][""], delta
        )

    @property
    def delta(self) -> float:
        """Of its look."""
        shares = self.wanted.get("schedule")
        share = shares[self.at["look"] - 1] / MILLION if shares else 1 / self.wanted["looks"]
        return float(self.wanted["delta_micros"] / MILLION * share)

    def plan(self) -> str:
        """SHA-256 of what was fixed before the look; "" where it is not told."""
        names = ("function", "thresholds", "doubtful")
        if not self.found.get("thresholds"):
            return ""
        return sha256(dump({name: self.found[name] for name in names})).hexdigest()


def read_answers(data: bytes) -> list[dict[str, Any]]:
    """The outcomes of a route, in the order of their items. Raises Wrong."""
    bad = "outcomes_invalid"
    whole, _, rest = data.rpartition(b"\n")
    lines = whole.split(b"\n")
    found = [load(line, bad) for line in lines]
    try:
        for line, one in zip(lines, found, strict=True):
            known = one["features"]
            numbers = known is None or (
                len(known) in FORMS and all(type(v) in (int, float) for v in known)
            )
            if dump(one) != line or not numbers or type(one["small"]) is not bool:
                refuse(bad, "a line is not canonical, or its numbers are none")
            if one.get("ruled") and (known is not None or one["small"]):
                refuse(bad, "an item that was not asked has an answer")
        items = [one["item"] for one in found]
    except (TypeError, KeyError, AttributeError) as error:
        refuse(bad, f"a line lacks {error}")
    if rest or items != sorted(set(items)):
        refuse(bad, "the items do not rise, or the last line is cut")
    return found


def moved(name: str, value: float) -> tuple[float, float]:
    """The lowest and the highest value that other requests in the batch can give a feature."""
    if name == "length":
        return value, value
    if name == "closest":
        return value - TOKENS, value + TOKENS
    if name in ("top", "margin", "p_true"):
        return value - COMPANY, value + COMPANY
    low, high = sorted((value * math.exp(COMPANY), value * math.exp(-COMPANY)))
    if name in ("mass", "least", "mean", "quantile", "masked"):
        return max(low, value - COMPANY), min(high, value + COMPANY)
    return low, high


def score(function: dict[str, Any], features: dict[str, float]) -> int:
    """The confidence of an answer, in millionths."""
    if function["kind"] == "logistic":
        weights = function["weights"].items()
        z = math.fsum(w * features[name] for name, w in weights) + function["intercept"]
        p = 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
        return round(MILLION * p)
    x, xs, ys = features[function["feature"]], function["scores"], function["probabilities"]
    at = bisect_right(xs, x) - 1
    if at < 0 or at >= len(xs) - 1:
        return round(MILLION * float(ys[max(0, at)]))
    slope = (ys[at + 1] - ys[at]) / (xs[at + 1] - xs[at])
    return round(MILLION * float(slope * (x - xs[at]) + ys[at]))


def counted(function: dict[str, Any], one: dict[str, Any], company: bool) -> tuple[int, bool]:
    """The score and the outcome by which an answer counts: as measured, or at its worst."""
    if one["features"] is None:
        return -1, one["small"]
    names = FORMS[len(one["features"])]
    found = dict(zip(names, one["features"], strict=True))
    if not company:
        return score(function, found), one["small"]
    weights = function.get("weights") or {function.get("feature"): 1.0}
    ends: list[dict[str, float]] = [{}, {}]
    for name, weight in weights.items():
        low, high = sorted(moved(name, found[name]), key=lambda end: weight * end)
        ends[0][name], ends[1][name] = low, high
    close = "margin" if "margin" in found else "closest"
    stays = one["small"] and moved(close, found[close])[0] > 0
    return score(function, ends[0 if stays else 1]), stays


def upper_limit(k: int, n: int, delta: float) -> float:
    """Clopper and Pearson's one-sided limit, by bisection."""
    if k >= n:
        return 1.0
    ways = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(k + 1)]
    low, high = 0.0, 1.0
    while high - low > 1e-13:
        p = (low + high) / 2
        here, away = math.log(p), math.log1p(-p)
        total = math.fsum(math.exp(w + i * here + (n - i) * away) for i, w in enumerate(ways))
        low, high = (p, high) if total > delta else (low, p)
    return (low + high) / 2


def check_draw(certificate: Route, outcomes: list[dict[str, Any]]) -> None:
    """Check that no two outcomes are of one group, and that the announced seed drew each group."""
    found, seed, names = (
        certificate.found,
        certificate.wanted["seed"],
        [o["group"] for o in outcomes],
    )
    if len(set(names)) != len(names):
        refuse(certificate.inconsistent, "two outcomes are of one group")
    largest = found.get("largest", 0)
    if certificate.weight == "groups":
        if largest:
            refuse(certificate.inconsistent, "groups that count alike are not drawn by their size")
        return
    for one, name in zip(outcomes, names, strict=True):
        ticket = int.from_bytes(sha256("\0".join((seed, name)).encode()).digest())
        size = one.get("size", 1)
        if not 1 <= size <= largest or ticket * largest >= size << 256:
            refuse(certificate.inconsistent, f"the seed did not draw the group {name!r}")


def judge_route(certificate: Route, outcomes: list[dict[str, Any]]) -> None:
    """Check that the outcomes are the signed ones, and that the threshold follows from them."""
    try:
        _judge(certificate, outcomes)
    except (TypeError, KeyError, ValueError, AttributeError, ArithmeticError) as error:
        refuse("route_certificate_malformed", f"a part is missing or of another kind: {error}")


def _judge(certificate: Route, outcomes: list[dict[str, Any]]) -> None:
    found, wanted, wrong = certificate.found, certificate.wanted, certificate.inconsistent
    if root([leaf(dump(one)) for one in outcomes]).hex() != found["merkle_root"]:
        refuse(wrong, "the outcomes are not those that were signed")
    check_draw(certificate, outcomes)
    asked = [one for one in outcomes if not one.get("ruled")]
    counting = [one for one in asked if not one.get("unasked")]
    lost = len(asked) - len(counting)
    reach = round(len(asked) / len(outcomes) * 100) * COARSE
    if found.get("effective") is None:  # outcomes of then leave out what a rule took
        reach = found.get("reach_micros")
    if (reach, lost) != (found.get("reach_micros") or reach, found.get("unasked", 0)):
        refuse(wrong, f"{len(asked)} of {len(outcomes)} were to be asked, {lost} could not be")
    if lost > 0.02 * len(asked) or found["groups"] != len(counting):
        refuse(wrong, f"{len(counting)} groups count")
    if not certificate.certified:
        return
    delta = certificate.delta
    told = [counted(found["function"], o, found.get("company", False)) for o in counting]
    plain = [counted(found["function"], one, False)[0] for one in counting]
    kept: tuple[int, int, int, int | None] | None = None
    fixed = found.get("thresholds") or [found["threshold_micros"]]
    for place, threshold in enumerate(fixed[: len(certificate.at.get("accepted", fixed))]):
        change, moved = certificate.moved(place)
        most, least = wanted["error_micros"] - change, moved - wanted["margin_micros"]
        bound, inside = most / MILLION, [right for value, right in told if value >= threshold]
        if bound <= 0 or len(inside) < math.ceil(math.log(delta) / math.log1p(-bound) - 1e-9):
            continue
        limit = upper_limit(inside.count(False), len(inside), delta)
        low = against(found.get("interval", ""), counting, told, threshold, delta)
        if limit > bound or (low is not None and low <= least / MILLION):
            break
        coarse = None if low is None else math.floor(low * 100) * COARSE
        kept = (
            threshold,
            round(sum(value >= threshold for value in plain) / len(plain) * 100) * COARSE,
            min(math.ceil(limit * 100) * COARSE, most),
            None if coarse is None else max(coarse, 1 + least),
        )
    names = ("threshold_micros", "coverage_micros", "limit_micros", "low_micros")
    if kept is None or tuple(found[name] for name in names) != kept:
        refuse(wrong, f"from these outcomes follows {kept}")


def against(
    interval: str,
    outcomes: list[dict[str, Any]],
    told: list[tuple[int, bool]],
    threshold: int,
    delta: float,
) -> float | None:
    """The lower limit of the route minus its second stage; None without one."""
    if any(one["larger"] is None for one in outcomes):
        return None
    whole = [
        right if value >= threshold else one["larger"]
        for one, (value, right) in zip(outcomes, told, strict=True)
    ]
    gaps = [int(a) - int(one["larger"]) for a, one in zip(whole, outcomes, strict=True)]
    z = NormalDist().inv_cdf((1 + (1 - 2 * delta)) / 2)
    if interval == "tango":
        return tango(gaps.count(1), gaps.count(-1), len(gaps), z)[0]
    return outward([float(gap) for gap in gaps], 1, z)[0]


def say_route(found: Route, seen: str) -> None:
    """Print a route's certificate."""
    route, dataset = found.subjects
    what = "certified" if found.certified else f"not certifiable, {found.found['reason']}"
    print(f"certificate {found.id} holds: {what}, {seen}")
    print(f"  route {route[0]!r} {route[1]}, dataset {dataset[0]!r} {dataset[1]}")
    print(
        f"  at most {found.wanted['error_micros'] / COARSE:g} % wrong at confidence "
        f"{(found.found['threshold_micros'] or MILLION) / MILLION:.3f}, {found.weight} count alike,"
        f" {found.found['coverage_micros'] / COARSE:g} % accepted, {found.found['groups']} groups, "
        f"look {found.at['look']} of {found.wanted['looks']}"
    )
    if same := found.at.get("unflipped"):
        change = change_micros(same["accepted"], found.wanted["delta_micros"]) / COARSE
        print(
            f"  carried over: {same['']} open groups the same, {same['accepted']} of them accepted;"
            f" at most {change:.1f} points more are wrong, which the limit bears"
        )
    elif found.at.get("carried_from"):
        print("  an older version carried it over, and bounds nothing that the engine changes")
    if found.plan():
        print(f"  fixed before, as the log names it: {found.plan()}")
    else:
        print("  an older version made it: the thresholds before its own are not stated")


def is_route(text: bytes) -> bool:
    """True if this may be a certificate of a route."""
    try:
        payload = json.loads(base64.b64decode(json.loads(text)["payload"]))
        return bool(payload["predicateType"] == ROUTE)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check the certificate of a gate or a route.")
    parser.add_argument("certificate", type=Path)
    parser.add_argument("evaluator", type=Path, help="the evidence key, PEM")
    parser.add_argument("--outcomes", type=Path, help="all outcomes: judge again")
    parser.add_argument("--proof", type=Path, help="one outcome with its proof")
    parser.add_argument("--task", metavar="HEX", help="digest that it must be for")
    parser.add_argument("--model", metavar="HEX", help="digest that it must be for")
    parser.add_argument("--dataset", metavar="HEX", help="digest that it must be for")
    parser.add_argument("--engine", metavar="TEXT", help="name and version that it must be for")
    parser.add_argument("--person", type=Path, help="key of who signed the specification, PEM")
    parser.add_argument("--revoked", action="append", default=[], metavar="HINT")
    parser.add_argument("--at", type=moment, help="when it must be valid: 2026-11-24T16:00:00Z")
    given = parser.parse_args(arguments)
    try:
        person = None if given.person is None else Key(given.person.read_text())
        evaluator = Key(given.evaluator.read_text())
        text = given.certificate.read_bytes()
        kind = Route if is_route(text) else Certificate
        found: Certificate | Route = kind(text, evaluator, person, given.revoked)
        check_use(found, given)
        if given.outcomes is not None and isinstance(found, Route):
            judge_route(found, read_answers(given.outcomes.read_bytes()))
        elif given.outcomes is not None and isinstance(found, Certificate):
            judge_again(found, read_outcomes(given.outcomes.read_bytes()))
        if given.proof is not None:
            print(f"outcome proved: item {check_proof(found, given.proof.read_bytes())!r}")
    except Wrong as error:
        print(f"REFUSED {error}")
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    seen = "judged again from its outcomes" if given.outcomes else "its outcomes were not seen"
    if isinstance(found, Route):
        say_route(found, seen)
        return 0
    block, (task, dataset) = found.block, found.subjects
    print(f"certificate {found.id} holds: {block['verdict']}, {seen}")
    print(f"  task {task[0]!r} {task[1]}, dataset {dataset[0]!r} {dataset[1]}")
    print(
        f"  {block['metric']}: {block['lowMicros'] / COARSE:+g} to "
        f"{block['highMicros'] / COARSE:+g} points against {found.wanted['incumbent']!r}, margin "
        f"{block['marginMicros'] / COARSE:g}, {block['groups']} groups, look {block['look']} of "
        f"{block['looks']}, valid until {block['validUntil']}"
    )
    if block.get("agreed"):
        print(f"  both sides agree on {block['agreed']} items, which nobody labelled")
    if block.get("unasked"):
        print(f"  {block['unasked']} items could not be asked, and do not count")
    if same := block.get("unflippedGroups"):
        change = change_micros(same[""], block["alphaMicros"]) / COARSE
        print(
            f"  carried over: {same['']} open groups the same, at most {change:.1f} points change"
        )
    elif "carriedFrom" in block:
        print("  an older version carried it over, and bounds nothing that the engine changes")
    if not block.get("interval"):
        print("  it names no interval: an older version made it, too short below 350 groups")
    if block["floors"] and "qualityMicros" not in block:
        print("  it tells no quality: an older version's floors err more often than they say")
    return 0


if __name__ == "__main__":
    sys.exit(main())
