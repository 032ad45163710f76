"""The appliance tests itself on its own data: what a release must show before it is believed.

Rules: policy and approved models are verified from their stored bytes; a worker generates one
token, with intent and outcome in the log; the verdict is an entry itself, and names what was
installed. Where no approved model writes text, the engine computes without one, and the report says
so. Every problem is reported.
"""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.errors import ApplianceError, Refused, Unavailable
from appliance.pool.pool import Pool
from appliance.registry.lifecycle import Custody
from appliance.serving.generation import StartedAnswer
from appliance.serving.inference import SELFTEST, Inference
from appliance.trust.policy.policy import TrustPolicy
from appliance.types import Caller, GenerationRequest, Principal, Sampling, silent
from appliance.workers.cpu_variants import best_variant, library_directory
from appliance.workers.supervisor import ENGINE

_READY_S: Final = 60.0
_APPROVED: Final = frozenset({"approved", "serving"})


@dataclass(frozen=True)
class Installed:
    """The installer's statement of the installation; empty when a person runs the test."""

    release: str = ""
    manifest: str = ""
    vendor_key: str = ""


@dataclass
class SelfTestReport:
    """Result of the self-test; `token`: the model that generated, None if none did."""

    policy: int = 0
    models: int = 0
    engine: str = ""
    token: str | None = None
    entry: int | None = None
    problems: list[ApplianceError] = field(default_factory=list)


@dataclass(eq=False)
class SelfTestRun(Custody):
    """The test over the parts that answer requests."""

    pool: Pool
    inference: Inference
    audit: AuditLog

    async def run(self, actor: str, installed: Installed) -> SelfTestReport:
        """Test everything and record the verdict."""
        report = SelfTestReport()
        policy = self.policy()
        report.policy = policy.version
        await self._verify(policy, report)
        try:
            report.engine = (await asyncio.to_thread(best_variant, library_directory())).stem
            await self._generate(actor, report)
        except ApplianceError as error:
            report.problems.append(error)
        receipt = await append(
            self.audit,
            Draft.deed(
                "selftest",
                actor,
                ok=not report.problems,
                codes=[problem.code for problem in report.problems],
                policy=report.policy,
                engine=report.engine,
                models=report.models,
                token=report.token,
                release=installed.release,
                manifest=installed.manifest,
                vendor_key=installed.vendor_key,
            ),
        )
        report.entry = receipt.seq
        return report

    async def _verify(self, policy: TrustPolicy, report: SelfTestReport) -> None:
        try:
            policy.check_engine(ENGINE, self.supervisor.engine_version)
        except Refused as error:
            report.problems.append(error)
        for model_id in self._approved():
            try:
                await asyncio.to_thread(self.store.check, model_id, policy, silent)
                report.models += 1
            except Refused as error:
                report.problems.append(error)

    async def _generate(self, actor: str, report: SelfTestReport) -> None:
        """One token from a model that is loaded, or from the smallest that can be."""
        ready = [card.id for card in self.supervisor.cards() if card.kind == "generate"]
        if ready:
            report.token = await self._token(ready[0])
            return
        writes = [
            record.id
            for record in self.lifecycle.records()
            if record.state in _APPROVED and record.kind in ("", "generate")
        ]
        for model_id in sorted(writes, key=self.store.inventory.size)[:1]:
            if self.lifecycle.is_loaded(model_id):  # by the server, which is still starting it
                report.token = await self._token(model_id)
                return
            wanted = self.pool.model(model_id).activity == "loading"  # by others
            await self.pool.load(actor, model_id, silent)
            try:
                report.token = await self._token(model_id)
            finally:
                if not wanted:
                    await self.pool.unload(actor, model_id)

    async def _token(self, model_id: str) -> str:
        caller = Caller(
            Principal(SELFTEST, SELFTEST), f"{SELFTEST}-{secrets.token_hex(8)}", "", "selftest"
        )
        request = GenerationRequest(
            model=model_id, prompt="1, 2, 3,", max_tokens=1, sampling=Sampling(temperature=0.0)
        )
        generation = await self._started(caller, request)
        async for _ in generation:
            pass
        return model_id

    async def _started(self, caller: Caller, request: GenerationRequest) -> StartedAnswer:
        """Start the answer; a server that just started may still be loading the model."""
        end = time.monotonic() + _READY_S
        while True:
            try:
                return await self.inference.start(caller, request)
            except Unavailable as error:
                if error.code != "model_loading" or time.monotonic() > end:
                    raise
                await asyncio.sleep(0.2)

    def _approved(self) -> list[str]:
        return [r.id for r in self.lifecycle.records() if r.state in _APPROVED]
