"""Processor time of a verified person per request: a token that is known, and one that is new.

Rules: time of this process alone, so that other work on the host changes little; the service's keys
lie in a file, and are read before.

usage: python -m benchmarks.people [--requests N]
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joserfc import jwk, jws

from appliance.clock import SystemClock
from appliance.config import Config, OidcConfig
from appliance.people.end_users import EndUsers
from appliance.people.names import Aliases
from appliance.types import Principal

ALGORITHMS: Final = {"ES256": ("EC", "P-256"), "RS256": ("RSA", 2048)}
_ISSUER, _AUDIENCE, _APP = "https://login.example", "appliance", Principal("k", "app")


@dataclass(frozen=True)
class PersonCost:
    """Milliseconds of processor time for one request."""

    algorithm: str
    new: float
    known: float


async def measure(algorithm: str, requests: int, directory: Path) -> PersonCost:
    """Verify so many new tokens, then one of them as often."""
    kind, size = ALGORITHMS[algorithm]
    key = jwk.generate_key(kind, size, {"kid": "k1"})
    file = directory / f"{algorithm}.jwks"
    file.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    login = OidcConfig(
        issuer=_ISSUER, audience=_AUDIENCE, keys=str(file), algorithms=(algorithm,)
    )  # fmt: skip
    people = EndUsers(
        Config(oidc={"corp": login}), directory, Aliases(lambda: b"secret"), SystemClock()
    )
    now = int(time.time())
    said = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600,
            "groups": [f"group {n}" for n in range(20)]}  # fmt: skip
    tokens = [
        jws.serialize_compact(
            {"alg": algorithm, "kid": "k1"},
            json.dumps({**said, "jti": str(number)}),
            key,
            algorithms=[algorithm],
        )
        for number in range(requests + 1)
    ]
    await people.verified(tokens.pop(), "k")  # imports, and reads the keys
    new = await _each(people, tokens)
    return PersonCost(algorithm, new, await _each(people, tokens[:1] * requests))


async def _each(people: EndUsers, tokens: Sequence[str]) -> float:
    begun = time.process_time()
    for token in tokens:
        people.limited(_APP, await people.verified(token, "k"))
    return (time.process_time() - begun) / len(tokens) * 1_000


def main() -> None:
    """Measure each algorithm and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for algorithm in ALGORITHMS:
            cost = asyncio.run(measure(algorithm, given.requests, Path(directory)))
            print(f"{algorithm}: new {cost.new:.3f} ms, known {cost.known:.4f} ms a request")


if __name__ == "__main__":
    main()
