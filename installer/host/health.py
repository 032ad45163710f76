"""The health gate: what a release must do before it is believed.

The product tests itself with its own code on the site's own data: it verifies policy and models,
generates one token, and appends one entry that names the release. A site with no approved model
cannot generate; then the engine computes without a model, and the report says so.
"""

from typing import Any

from installer.host.problems import InstallError
from installer.host.product import Product


def check(product: Product, *, release: str, manifest_sha256: str, key: str) -> dict[str, Any]:
    """Ask a release to test itself; the facts that it reports.

    Raises:
        InstallError: `health_failed` with what it found.
    """
    arguments = ["--release", release, "--manifest", manifest_sha256, "--vendor-key", key]
    try:
        report = product.run("selftest", *arguments)
    except InstallError as error:
        raise InstallError("health_failed", error.message) from error
    if report.get("ok") is not True:
        raise InstallError("health_failed", f"{report.get('problems')}")
    return {name: report.get(name) for name in ("policy", "models", "token", "entry")}
