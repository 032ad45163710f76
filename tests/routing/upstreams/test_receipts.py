"""The answering host is in the outcome and the receipt; another appliance's receipt is kept, and
checked where the first key of its log is named.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.api.openai.receipts import _answered_by
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.config import parse_config
from appliance.errors import ApplianceError, UsageError
from appliance.routing.upstreams import receipts
from appliance.types import Json, PeerReceipt
from auditor.verify_receipt import check, told
from tests.audit.logs import intent, new_log, open_log
from tests.routing.upstreams.engine import Engine, Request, _chunk, _event, _head, _whole
from tests.routing.upstreams.site import BIG, all_hops, answer, caller, chat, config, entries, ready

LEAF = "ab" * 32


@dataclass
class Peer(Engine):
    """Another appliance: each answer is an outcome of its log.

    Attributes:
        line: in place of its receipts.
        shown: the request of its receipt, in place of the requested one.
        tells: whether it gives receipts; larger than the limit if None.
    """

    audit: AuditLog | None = None
    directory: Path = Path()
    line: str | None = None
    shown: str = ""
    tells: bool | None = True

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if not request.path.startswith("/v1/receipts/"):
            return await super()._answer(request, writer)
        if self.tells is None:
            return await _whole(writer, {"proof": "x" * (2 << 20)})
        if not self.tells:
            return await _whole(writer, {}, status="404 Not Found")
        reader = LogReader(self.directory)
        _, ended = reader.find_request(self.shown or request.path.rpartition("/")[2], "k1")
        assert ended is not None
        await _whole(writer, {"proof": reader.proof(ended.seq).decode()})
        reader.close()

    async def _whole(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        pieces = self._pieces(body)
        name = secrets.token_hex(16)
        _head(writer)
        for event in (*pieces, self._last(), self._usage()):
            _chunk(writer, _event({**event, "id": f"chatcmpl-{name}"}))
        line = self.line if self.line is not None else f": receipt {self.told(name)}\n\n"
        _chunk(writer, line.encode())
        _chunk(writer, _event("[DONE]"))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def told(self, name: str) -> str:
        assert self.audit is not None
        (asked,) = self.audit.append(intent(f"req-{name}")).result()
        fields: dict[str, Json] = {"intent": asked.seq, "request_id": f"req-{name}", "status": "ok"}
        (ended,) = self.audit.append(Draft("outcome", fields)).result()
        return ended.header()


@contextmanager
def peer(directory: Path) -> Iterator[Peer]:
    with open_log(new_log(directory)) as log:
        yield Peer(audit=log, directory=directory)


async def test_the_host_that_answered_is_in_the_outcome_and_the_receipt(tmp_path: Path) -> None:
    async with (
        Engine().serve() as away,
        Engine().serve() as there,
        ready(tmp_path / "d", config(away.url, there.url)) as services,
    ):
        await services.upstreams.drain("uid:0", BIG, away.url, drained=True)
        await answer(services, caller(), chat())
        (hop,) = [hop for hop in all_hops(services) if hop["event"] == "answered"]
        (outcome,) = entries(services, "outcome")
        wanted = {"upstream": BIG, "host": there.url, "digest": hop["digest"]}
        assert outcome["answered_by"] == wanted

        reader = services.reader
        document = {
            "request_id": "req-k1",
            "intent": {"seq": outcome["intent"]},
            "outcome": {"seq": outcome["seq"], "leaf": reader.entry(outcome["seq"]).leaf.hex()},
            "proof": reader.proof(outcome["seq"]).decode(),
            "answered_by": {**wanted, "receipt": None},
        }
        genesis = (services.data / "audit" / "genesis.pub").read_text()
        found = check(json.dumps(document).encode(), genesis)
        assert f"host {there.url}." in told(found)[1]
        shown = _answered_by(reader.entry(outcome["seq"]))
        assert shown is not None and shown.model_dump(exclude_none=True) == wanted
        document["answered_by"] = {**wanted, "host": away.url}
        with pytest.raises(ValueError, match="another host"):
            check(json.dumps(document).encode(), genesis)


async def test_a_host_that_fails_amid_its_answer_is_in_the_outcome(tmp_path: Path) -> None:
    async with (
        Engine(mode="cut").serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        with pytest.raises(ApplianceError):
            await answer(services, caller(), chat())
        (outcome,) = entries(services, "outcome")
        assert outcome["status"] == "error" and outcome["answered_by"]["host"] == engine.url


async def test_an_answer_of_this_host_names_no_other(tmp_path: Path) -> None:
    async with (
        Engine(mode="full").serve() as engine,
        ready(tmp_path / "d", config(engine.url)) as services,
    ):
        with pytest.raises(ApplianceError):
            await answer(services, caller(), chat())
        (outcome,) = entries(services, "outcome")
        assert outcome["status"] == "error" and "answered_by" not in outcome


@pytest.mark.parametrize(
    ("named", "tells", "standing"),
    [
        (True, True, "checked"),
        (False, True, "kept"),
        (True, False, "kept"),
        (True, None, "kept"),
    ],
)
async def test_the_receipt_of_another_appliance(
    tmp_path: Path, named: bool, tells: bool | None, standing: str
) -> None:
    key = str(tmp_path / "peer" / "genesis.pub")
    with peer(tmp_path / "peer") as made:
        made.tells = tells
        async with made.serve() as engine:
            settings = config(engine.url, kind="appliance", genesis=(key,) if named else ())
            async with ready(tmp_path / "d", settings) as services:
                await answer(services, caller(), chat())
                (outcome,) = entries(services, "outcome")
                own = outcome["answered_by"]["receipt"]
                reader = LogReader(tmp_path / "peer")
                assert reader.entry(own["seq"]).leaf.hex() == own["leaf"]
                assert own["standing"] == standing and own["size"] > own["seq"]
                assert own.get("origin") == (reader.origin if standing == "checked" else None)
                reader.close()


async def test_a_receipt_that_is_none_or_proves_another_answer_is_no_answer(
    tmp_path: Path,
) -> None:
    key = str(tmp_path / "peer" / "genesis.pub")
    with peer(tmp_path / "peer") as made:
        earlier = made.told("0" * 32)
        async with made.serve() as engine:
            settings = config(engine.url, kind="appliance", genesis=(key,))
            async with ready(tmp_path / "d", settings) as services:
                lines = ["", f": receipt {earlier}\n\n", ": receipt 1 2 3\n\n"]
                lines += [f": receipt 7 {LEAF} 7\n\n", f": receipt 7 {LEAF} 9\n\n" * 2]
                for line in lines:
                    made.line, made.shown = line, f"req-{'0' * 32}"
                    with pytest.raises(ApplianceError) as caught:
                        await answer(services, caller(), chat())
                    assert caught.value.code == "upstream_invalid", line
                made.line, made.shown = None, ""
                await answer(services, caller(), chat())
                assert [one["status"] for one in entries(services, "outcome")] == [
                    *["error"] * len(lines),
                    "ok",
                ]


async def test_the_log_of_another_appliance_than_the_named_one(tmp_path: Path) -> None:
    with peer(tmp_path / "peer") as made, peer(tmp_path / "named") as other:
        settings_of = {"kind": "appliance", "genesis": (str(other.directory / "genesis.pub"),)}
        async with (
            made.serve() as engine,
            ready(tmp_path / "d", config(engine.url, **settings_of)) as services,
        ):
            with pytest.raises(ApplianceError) as caught:
                await answer(services, caller(), chat())
            assert "receipt does not hold" in caught.value.message


@pytest.mark.parametrize(
    "line", [b"", b"1", b"-1 " + b"ab" * 32 + b" 3", b"9" * 16 + b" " + b"ab" * 32 + b" 3"]
)
def test_what_is_no_receipt(line: bytes) -> None:
    with pytest.raises(ApplianceError) as caught:
        receipts.read(line)
    assert caught.value.code == "upstream_invalid"
    assert receipts.read(f"7 {LEAF} 9".encode()) == PeerReceipt(7, LEAF, 9)


def test_a_key_is_for_appliances_and_must_be_one(tmp_path: Path) -> None:
    table = '[upstreams."x"]\nkind = "vllm"\nurls = ["http://127.0.0.1:1"]\nmodel = "m"\n'
    with pytest.raises(UsageError, match="genesis"):
        parse_config(table + 'genesis = ["peer.pub"]\n')
    (tmp_path / "peer.pub").write_text("no key\n")
    with pytest.raises(UsageError):
        receipts.keys(("peer.pub",), tmp_path)
