"""`POST /admin/selftest`: the appliance tests itself."""

from appliance.api.admin.deps import PersonDep, Routes, ServicesDep
from appliance.serving.selftest import Installed
from appliance.wire.admin import selftest as wire

router = Routes()


@router.serves(wire.SELFTEST)
async def run_selftest(
    person: PersonDep, services: ServicesDep, wanted: wire.SelfTestWanted
) -> wire.SelfTest:
    """Verify policy and models, generate one token, record the verdict."""
    installed = Installed(wanted.release, wanted.manifest, wanted.vendor_key)
    report = await services.selftest.run(person.actor, installed)
    return wire.SelfTest.told_by(
        report,
        ok=not report.problems,
        problems=[wire.Finding.told_by(problem) for problem in report.problems],
    )
