"""Schemas of the test that the appliance runs on itself."""

from pydantic import Field

from appliance.wire.admin.base import Reply, Request
from appliance.wire.admin.endpoint import admins


class SelfTestWanted(Request):
    """The installer's statement for the record; empty when a person runs the test."""

    release: str = Field(default="", max_length=64)
    manifest: str = Field(default="", max_length=64)
    vendor_key: str = Field(default="", max_length=64)


class Finding(Reply):
    """One thing that does not hold."""

    code: str
    message: str


class SelfTest(Reply):
    """The verdict: `models` were verified, `token` names the model that wrote one, if any did."""

    ok: bool
    policy: int
    models: int
    engine: str
    token: str | None
    entry: int | None
    problems: list[Finding]


SELFTEST = admins.post("/admin/selftest", SelfTestWanted, SelfTest, slow=True)
