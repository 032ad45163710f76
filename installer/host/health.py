"""The health gate: the self-test that a release must pass.

The product tests itself with its own code on the site's own data: it verifies policy and models,
generates one token, and appends one entry that names the release. Without an approved model the
engine computes without one, and the report says so.
"""

from typing import Any

from installer.host.problems import InstallError
from installer.host.product import Product


def check(product: Product, *, release: str, manifest_sha256: str, key: str) -> dict[str, Any]:
    """Let a release test itself; its facts. Raises InstallError (`health_failed`)."""
    arguments = ["--release", release, "--manifest", manifest_sha256, "--vendor-key", key]
    try:
        report = product.run("selftest", *arguments)
    except InstallError as error:
        raise InstallError("health_failed", error.message) from error
    if report.get("ok") is not True:
        raise InstallError("health_failed", f"{report.get('problems')}")
    return {name: report.get(name) for name in ("policy", "models", "token", "entry")}
