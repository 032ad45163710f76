"""The health gate: the self-test that a release must pass.

The product verifies policy and models, generates one token, and appends one entry that names the
release.
"""

from typing import Any

from installer.host.problems import InstallError
from installer.host.product import Product


def check(product: Product, *, release: str, manifest_sha256: str, key: str) -> dict[str, Any]:
    """Let a release test itself; its facts (`health_failed`)."""
    arguments = ["--release", release, "--manifest", manifest_sha256, "--vendor-key", key]
    try:
        report = product.run("selftest", *arguments)
    except InstallError as error:
        raise InstallError("health_failed", error.message) from error
    if report.get("ok") is not True:
        raise InstallError("health_failed", f"{report.get('problems')}")
    return {name: report.get(name) for name in ("policy", "models", "token", "entry")}
