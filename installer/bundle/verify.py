"""Checks a bundle on the connected side: signature, list, every byte, manifest, SBOM."""

import argparse
from pathlib import Path
from typing import Final

from installer.bundle import bundled_wheels, sbom
from installer.bundle.steps import BundleError, command_line, say
from installer.host import manifest, signature
from installer.host.files import hash_file
from installer.host.manifest import Manifest
from installer.host.problems import InstallError
from installer.host.store import Media

_OPENSSL: Final = ("openssl",)


def verify(bundle: Path, key: Path | None = None) -> tuple[Manifest, str]:
    """Check a bundle; its manifest and the fingerprint of the key that signed it.

    Args:
        key: the vendor's public key; by default the one in the bundle, which proves only that the
            bundle is whole.
    """
    key = key or bundle / signature.KEY
    try:
        signature.verify(_OPENSSL, bundle, key)
        sums = manifest.parse_sums((bundle / signature.SUMS).read_bytes())
        Media(bundle).check_listing(sums)
        for name, wanted in sorted(sums.items()):
            digest, size = hash_file(bundle / name)
            if digest != wanted:
                raise BundleError(f"{name} is not what was signed")
            say(f"{size / 1e6:8.1f} MB  {digest[:12]}  {name}")
        document = manifest.parse((bundle / "manifest.json").read_bytes())
        for part in document.parts:
            for chunk in part.chunks:
                if sums.get(chunk.path) != chunk.sha256:
                    raise BundleError(f"{chunk.path}: the list and the manifest differ")
        if "sbom.cdx.json" in sums:
            _check_sbom(bundle, document)
        if any(name.startswith(f"{bundled_wheels.ON_STICK}/") for name in sums):
            bundled_wheels.check_stick(bundle, {p.name: p.sha256 for p in document.of("wheel")})
        return document, signature.fingerprint(key)
    except InstallError as error:
        raise BundleError(f"{error.code}: {error.message}") from error
    except OSError as error:
        raise BundleError(f"{error.filename}: {error.strerror}") from error


def _check_sbom(bundle: Path, document: Manifest) -> None:
    """It has every wheel and model of the manifest, by digest."""
    listed = {part.sha256 for part in sbom.read((bundle / "sbom.cdx.json").read_bytes())}
    for part in document.of("wheel", "plugin", "model"):
        if part.name.endswith((".whl", ".gguf")) and part.sha256 not in listed:
            raise BundleError(f"{part.name} is not in sbom.cdx.json")


def main() -> None:
    """Command line: check a bundle, print one line for each file and the verdict."""
    parser = argparse.ArgumentParser(prog="appliance bundle verify")
    parser.add_argument("path", type=Path, metavar="PATH")
    parser.add_argument("--key", type=Path, metavar="PUB", help="the vendor's public key, PEM")
    options = parser.parse_args()
    document, key = verify(options.path, options.key)
    print(f"release {document.release}, counter {document.counter}: every byte is what was signed")
    print(f"by {key}")


if __name__ == "__main__":
    command_line(main)
