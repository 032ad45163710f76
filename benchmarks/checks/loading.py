"""P11: from "load this model" to its first token."""

import asyncio
import time

from appliance.client import AdminClient, socket_path
from appliance.wire.admin.models import MODEL_LOAD, MODEL_UNLOAD
from benchmarks import peer, servers
from benchmarks.generator import Generator
from benchmarks.loads import MODEL, Ask, completion
from benchmarks.measure import load_of
from benchmarks.results import Figure
from benchmarks.servers import BenchError, Server
from benchmarks.session import Session
from benchmarks.statistics import Summary, ratios
from installer.bundle.steps import say

_PATIENT_S = 120.0
_TARGETS = {"qwen": 1.3, "8b": 0.7}
_QUESTION = "Once upon a time"


def loading(session: Session) -> list[Figure]:
    """Ours: verify, seal, load, answer. The peer: process start to answer. Same file, warm."""
    ours: list[float] = []
    theirs: list[float] = []
    with session.serving("ours") as server:
        for repetition in range(session.repeat):
            ours.append(_load(server))
            theirs.append(_start(session))
            say(f"  load {repetition + 1}: ours {ours[-1]:.2f} s, peer {theirs[-1]:.2f} s")
            session.runs.append(
                {"repetition": repetition, "ours_s": ours[-1], "peer_s": theirs[-1]}
            )
    return [
        Figure(
            "load request to first token / process start to first token",
            "s",
            Summary.of(ratios(ours, theirs)),
            Summary.of(ours),
            Summary.of(theirs),
            "≤",
            _TARGETS.get(session.model, 1.0),
        )
    ]


def _load(server: Server) -> float:
    """From asking the running server for the model to its first token."""
    with AdminClient(socket_path(server.data), answer_seconds=_PATIENT_S) as client:
        client.call(MODEL_UNLOAD, model_id=MODEL)
        begun = time.monotonic()
        client.call(MODEL_LOAD, model_id=MODEL)
    return _first_token(server) - begun


def _start(session: Session) -> float:
    """From starting the peer to its first token."""
    begun = time.monotonic()
    with servers.peer(peer.chosen(), session.gguf, pause=0.005) as server:
        session.commands["peer"] = server.command
        return _first_token(server) - begun


def _first_token(server: Server) -> float:
    generator = Generator(load_of(server, [Ask(completion(_QUESTION, 1))]))
    asyncio.run(generator.run())
    (answer,) = generator.answers
    if answer.error or not answer.stamps:
        raise BenchError(f"{server.side} does not answer: {answer.error}")
    return answer.stamps[0]
