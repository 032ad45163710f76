"""An appliance with upstreams: learnt, approved by two people, probed."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from appliance.app import Services, initialise, open_services
from appliance.config import AuditConfig, Config, UpstreamConfig
from appliance.routing.upstreams.service import subject_of
from appliance.trust.statements import approval
from appliance.types import Caller, ContentMode, Delta, GenerationRequest, Limits, Principal
from tests.smol import APPROVERS, key, until

BIG = "big"
CONNECT_MS = 30_000
"""Longer than a loop on a busy machine stands still; the default is not."""


def config(*urls: str, **more: Any) -> Config:
    given = {"kind": "vllm", "model": "there", "idle_seconds": 5, "answer_seconds": 20}
    upstream = UpstreamConfig(urls=urls, **{"connect_ms": CONNECT_MS, **given, **more})
    return Config(audit=AuditConfig(ballast_mib=0), upstreams={BIG: upstream})


def approve(services: Services, name: str = BIG, *people: str) -> None:
    upstream = services.upstreams.get(name)
    for host in [host for host in upstream.hosts if not host.approved]:
        for person in people or APPROVERS:
            envelope = approval.sign(
                subject_of(upstream, host),
                name=person,
                meaning="may be asked",
                time_us=services.clock.wall_us(),
                private_key=key(services.data, person),
            )
            services.upstreams.approve("uid:0", name, host.url, envelope)


@contextlib.asynccontextmanager
async def ready(data: Path, settings: Config) -> AsyncIterator[Services]:
    if not data.exists():
        initialise(data, "lab")
    with open_services(data, config=settings) as services:
        try:
            for name in settings.upstreams:
                await services.upstreams.learn("uid:0", name)
                approve(services, name)
                await services.upstreams.probe("uid:0", name)
            yield services
        finally:
            await services.inference.drain(5)
            await services.upstreams.close()


def caller(
    key_id: str = "k1", *models: str, content: ContentMode | None = None, rpm: int | None = None
) -> Caller:
    principal = Principal(key_id, key_id, frozenset(models), Limits(rpm=rpm), content)
    return Caller(principal, f"req-{key_id}", "127.0.0.1", "/v1/chat/completions")


def chat(text: str = "What is wrong?", **more: Any) -> GenerationRequest:
    given = {"model": BIG, "messages": ({"role": "user", "content": text},), **more}
    return GenerationRequest(**given)


async def answer(services: Services, who: Caller, asked: GenerationRequest) -> list[Delta]:
    generation = await services.inference.begin(who, asked)
    try:
        return [delta async for delta in generation]
    finally:
        await generation.finished()


def entries(services: Services, kind: str) -> list[dict[str, Any]]:
    from appliance.audit.search import Query

    found: list[dict[str, Any]] = []
    after: int | None = -1
    while after is not None:
        page = services.reader.search(Query(kind=kind, after=after, limit=1_000))
        found += [dict(entry.body) for entry in page.entries]
        after = page.resume
    return found


def all_hops(services: Services) -> list[dict[str, Any]]:
    """In their order: entries of their own, and those in requests' entries."""
    found = entries(services, "hop")
    outcomes = {outcome["intent"]: outcome for outcome in entries(services, "outcome")}
    for intent in entries(services, "intent"):
        outcome = outcomes.get(intent["seq"], {})
        if "sent" not in intent or "unsent" in outcome:
            continue
        named = {"request_id": intent["request_id"], "upstream": intent["model"], "hop": 1}
        begun = intent["mono_us"] + outcome.get("queued_us", 0)
        about = {**named, **intent["sent"]}
        found.append({**about, "event": "sent", "seq": intent["seq"], "mono_us": begun})
        if "answered" in outcome:
            said = {**outcome["answered"], "event": "answered", "seq": outcome["seq"]}
            found.append({**about, **said, "mono_us": outcome["mono_us"]})
    return sorted(found, key=lambda hop: int(hop["seq"]))


__all__ = [
    "BIG", "all_hops", "answer", "approve", "caller", "chat", "config", "entries", "ready", "until",
]  # fmt: skip
