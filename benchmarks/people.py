"""Processor time of a verified person per request: tokens, certificates, rights of a directory.

Rules: only this process's time counts; the service's keys lie in a file, and are read before, and
so was the directory, which is asked once a minute.

usage: python -m benchmarks.people [--requests N]
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from joserfc import jwk, jws

from appliance.clock import SystemClock
from appliance.config import Config, LdapConfig, OidcConfig, PeopleGroupConfig
from appliance.people.directories import DirectoryPerson
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
    looked_up: float


async def measure(algorithm: str, requests: int, directory: Path) -> PersonCost:
    """Verify so many new tokens, then one of them as often."""
    kind, size = ALGORITHMS[algorithm]
    key = jwk.generate_key(kind, size, {"kid": "k1"})
    file = directory / f"{algorithm}.jwks"
    file.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    login = OidcConfig(
        issuer=_ISSUER, audience=_AUDIENCE, keys=str(file), algorithms=(algorithm,)
    )  # fmt: skip
    people, there = _site(login, directory), _site(replace(login, directory="ad"), directory)
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
    known = [await _each(one, tokens[:1] * requests) for one in (people, there)]
    return PersonCost(algorithm, new, *known)


def _site(login: OidcConfig, directory: Path) -> EndUsers:
    """A site whose directory has told of a person with 200 groups."""
    groups = {f"g{n}": PeopleGroupConfig((f"ad/cn=g{n},dc=site",), ("m",)) for n in range(20)}
    config = Config(oidc={"corp": login}, ldap={"ad": LdapConfig()}, groups=groups)
    made = EndUsers(config, directory, Aliases(lambda: b"secret"), SystemClock())
    names = frozenset(f"cn=g{n},dc=site" for n in range(200))
    made._directory("ad")._known["ann"] = DirectoryPerson(
        "Ann", names, None, time.monotonic() + 1e6
    )
    return made


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
            print(
                f"{algorithm}: new {cost.new:.3f} ms, known {cost.known:.4f} ms, known with 200"
                f" groups of a directory {cost.looked_up:.4f} ms a request"
            )


if __name__ == "__main__":
    main()
