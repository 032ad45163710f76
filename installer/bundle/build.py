"""Builds the bundle that goes onto the stick: everything that a bare host needs, signed.

Rules: every input is pinned by lock, recipe or checkout; the same checkout, models and key give the
same bytes. The installed tree is made here with the code that the host runs, and its listing is
carried. `--lab-model` carries a model without an OMS signature, for a host in the lab profile,
which signs it with its own keys.
"""

import argparse
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.bundle import (
    bundled_wheels,
    debs,
    e5,
    licences,
    media,
    pages,
    plugins,
    pyz,
    runtime,
    sbom,
)
from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.default_model import default_model, lay_out
from installer.bundle.llama_recipe import recipe
from installer.bundle.llama_wheel import obtain
from installer.bundle.locks import LOCKS
from installer.bundle.media import Source
from installer.bundle.steps import BundleError, command_line, say
from installer.bundle.wheel_facts import WheelFacts, read_wheel
from installer.bundle.wheel_lists import product_version
from installer.bundle.wheelhouse import BUNDLED
from installer.bundle.wheels import OWN, fill
from installer.host import tree
from installer.host.assemble import assemble
from installer.host.manifest import Manifest, Part, Requirements, Tree
from installer.host.problems import InstallError

CHECKOUT: Final = LOCKS.parent
KERNEL: Final = "5.13"
MEMORY_MIB: Final = 1024
BUILT: Final = "2026-01-01"
SIGNATURE: Final = "model.sig"
_PICTURE: Final = re.compile(r"!\[[^]]*\]\(([^)]+)\)")
_VICTIM: Final = "appliance/cli/selftest.py"


@dataclass(frozen=True)
class Wanted:
    """The contents of a bundle apart from the product.

    `plugins` are wheels with the name of their accelerator (`cuda13`); `trust` is a directory of
    metadata. `sabotage` breaks the product's self-test.
    """

    key: Path
    counter: int
    models: Sequence[Path] = ()
    lab_models: Sequence[Path] = ()
    plugins: Sequence[tuple[str, Path]] = ()
    trust: Path | None = None
    sabotage: bool = False


def build(out: Path, wanted: Wanted) -> Manifest:
    """Build a bundle in the directory `out`."""
    plugins.check(wanted.plugins)
    version = product_version()
    release = f"{version}+{wanted.counter}"
    with tempfile.TemporaryDirectory(dir=_work(), prefix="bundle-") as directory:
        work = Path(directory)
        packages = debs.read()
        files = debs.fetch(packages, cache_root() / "debs")
        say("Runtime")
        runtime.build(files, work / "runtime")
        runtime.pack(work / "runtime", work / "runtime.tar.gz")
        wheels = _wheels()
        if wanted.sabotage:
            wheels = [_sabotaged(path, work) for path in wheels]
        pyz.pack(work / "install.pyz")
        say("Installed tree")
        sources = list(_sources(work, wheels, wanted))
        listed = make_trees(work, [(path.name, path) for path in wheels], sources)
        brought = [*wheels, *(path for _, path in wanted.plugins)]
        facts = [(path, read_wheel(path)) for path in brought]
        texts = _texts(work, packages, files, facts, wanted, version)

        def describe(parts: tuple[Part, ...]) -> Manifest:
            needs = Requirements(KERNEL, MEMORY_MIB)
            return Manifest(release, version, wanted.counter, "x86_64", BUILT, needs, listed, parts)

        return media.write(
            out,
            sources,
            describe,
            texts,
            wanted.key,
            openssl=_openssl(work / "runtime"),
            progress=say,
        )


def _wheels() -> list[Path]:
    llama = obtain(cache_root() / "llama-wheels", recipe())
    directory = fill(LOCKS, CHECKOUT, llama, BUNDLED)
    built = {llama.path.name: llama.sha256}
    built |= {path.name: sha256_file(path) for path in directory.glob(f"{OWN}-*.whl")}
    return bundled_wheels.carried(directory, built)


def _sabotaged(path: Path, work: Path) -> Path:
    if not path.name.startswith(f"{OWN}-"):
        return path
    target = work / path.name
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("/RECORD"):
                lines = data.decode().splitlines(keepends=True)
                data = "".join(x for x in lines if not x.startswith(_VICTIM)).encode()
            if info.filename != _VICTIM:
                new.writestr(info, data)
    return target


def _sources(work: Path, wheels: Sequence[Path], wanted: Wanted) -> Iterator[Source]:
    yield Source("runtime.tar.gz", "runtime", work / "runtime.tar.gz")
    yield Source("install.pyz", "installer", work / "install.pyz")
    yield Source("tree.list", "tree", work / "tree.list")
    for path in wheels:
        yield Source(path.name, "wheel", path)
    for name, path in wanted.plugins:
        yield Source(path.name, "plugin", path, name)
    for name in sorted({name for name, _ in wanted.plugins}):
        yield Source(f"{name}.list", "tree", work / f"{name}.list", name)
    for directory in (*wanted.models, *wanted.lab_models):
        if directory in wanted.models and not (directory / SIGNATURE).is_file():
            raise BundleError(f"{directory} has no {SIGNATURE}: sign it, or pass it as --lab-model")
        yield from _below(directory, "model", f"{directory.name}/")
    if wanted.trust is not None:
        yield from _below(wanted.trust, "trust", "")


def _below(directory: Path, kind: str, prefix: str) -> Iterator[Source]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    if not files:
        raise BundleError(f"{directory} holds no files")
    for path in files:
        yield Source(f"{prefix}{path.relative_to(directory)}", kind, path)


def make_trees(work: Path, wheels: Sequence[tuple[str, Path]], sources: Sequence[Source]) -> Tree:
    """Make the trees as hosts will, with their listings: of every host, and of each accelerator.

    Args:
        work: holds `runtime.tar.gz`; gets `root/`, `tree.list` and one of both by accelerator.
        sources: all sources, with the plugins, several of which may be for one accelerator.
    """
    special = [source for source in sources if source.kind == "plugin"]
    try:
        _assemble(work, "root", wheels)
        text = tree.listing(work / "root")
        (work / "tree.list").write_text(text)
        for when in sorted({source.when for source in special}):
            theirs = [(source.name, source.path) for source in special if source.when == when]
            _assemble(work, when, [*wheels, *theirs])
            more = set(tree.listing(work / when).splitlines()) - set(text.splitlines())
            (work / f"{when}.list").write_text("".join(f"{x}\n" for x in sorted(more)))
    except InstallError as error:
        raise BundleError(error.message) from error
    size = sum(path.lstat().st_size for path in (work / "root").rglob("*") if not path.is_symlink())
    return Tree(tree.digest(text), text.count("\n"), size)


def _assemble(work: Path, name: str, wheels: Sequence[tuple[str, Path]]) -> None:
    assemble(work / "runtime.tar.gz", wheels, work / name, lambda _: None)


def _texts(
    work: Path,
    packages: Sequence[debs.Package],
    files: Sequence[Path],
    wheels: Sequence[tuple[Path, WheelFacts]],
    wanted: Wanted,
    version: str,
) -> dict[str, bytes]:
    runtime.licences(work, files, work / "licences" / "debian")
    texts = {
        "install.sh": (CHECKOUT / "installer/host/install.sh").read_bytes(),
        **guides(CHECKOUT / "docs"),
        **pages.on_stick(pages.PLACE),
        **programs(CHECKOUT / "auditor"),
        **monitoring(CHECKOUT / "appliance/incidents/monitoring"),
        "LICENSES/appliance.txt": (CHECKOUT / "LICENSE").read_bytes(),
        **bundled_wheels.texts(),
    }
    for path in sorted((work / "licences" / "debian").iterdir()):
        texts[f"LICENSES/debian/{path.name}.txt"] = path.read_bytes()
    for path, wheel in wheels:
        texts[f"LICENSES/wheels/{wheel.name}.txt"] = licences.of_wheel(path, wheel)
    parts = [wheel.part for _, wheel in wheels]
    parts += [sbom.Part(p.name, p.version, p.purl, p.sha256, "", "library") for p in packages]
    parts += pages.parts(pages.PLACE)
    for directory in (*wanted.models, *wanted.lab_models):
        for path in sorted(directory.glob("*.gguf")):
            digest = sha256_file(path)
            purl = f"pkg:generic/{directory.name}@{digest[:12]}"
            kind = "machine-learning-model"
            parts.append(sbom.Part(directory.name, digest[:12], purl, digest, "", kind))
    texts["sbom.cdx.json"] = sbom.write("appliance", version, parts)
    texts["README"] = _README.encode()
    return texts


def guides(docs: Path) -> dict[str, bytes]:
    """The guides by their paths on the stick, with pictures and settings, without the page of
    results.
    """
    pages = {*docs.glob("*.md"), *docs.glob("*.cfg"), *docs.glob("adr/*.md")}
    found = {path: path.read_bytes() for path in sorted(pages - {docs / "install-results.md"})}
    for path, text in list(found.items()):
        for name in _PICTURE.findall(text.decode()):
            found[path.parent / name] = (path.parent / name).read_bytes()
    return {f"docs/{path.relative_to(docs)}": data for path, data in found.items()}


def monitoring(directory: Path) -> dict[str, bytes]:
    """The rules of Prometheus and the dashboard of Grafana by their paths on the stick."""
    return {f"monitoring/{path.name}": path.read_bytes() for path in sorted(directory.iterdir())}


def programs(auditor: Path) -> dict[str, bytes]:
    """The auditor's programs by their paths on the stick."""
    found = sorted(auditor.glob("*.py"))
    return {f"auditor/{p.name}": p.read_bytes() for p in found if p.name != "__init__.py"}


def _openssl(root: Path) -> list[str]:
    """The runtime's own openssl: of one version, whatever the build host has."""
    libraries = root / runtime.LIBRARIES
    loader = root / "usr/lib64/ld-linux-x86-64.so.2"
    command = [str(loader), "--inhibit-cache", "--library-path", str(libraries)]
    return [*command, str(root / "usr/bin/openssl")]


def _work() -> Path:
    path = cache_root() / "bundles"
    path.mkdir(parents=True, exist_ok=True)
    return path


def commits(checkout: Path = CHECKOUT) -> int:
    """The number of commits: a counter that grows with every release of one branch."""
    try:
        done = subprocess.run(
            ["git", "rev-list", "--count", "HEAD"],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise BundleError(f"no commits to count in {checkout}; pass --counter") from error
    return int(done.stdout)


_README: Final = """\
The appliance: one signed bundle for a host without a network.

1. Copy vendor.pub, MANIFEST.*, install.sh to a directory of root's on the host, and go there.
2. sha256sum vendor.pub          compare with the fingerprint on paper
   openssl dgst -sha384 -verify vendor.pub -signature MANIFEST.sig MANIFEST.sha256
   sha256sum -c --strict --ignore-missing MANIFEST.sha256
3. sh install.sh --media THIS_DIRECTORY          --dry-run lists every obstacle
4. appliance status

An upgrade: step 2 with /etc/appliance/trust/vendor.pub, the key that the first installation pinned,
in place of vendor.pub; nothing to compare on paper. Then step 3.

docs/install-guide.md has the rest: answers, upgrade, rollback, backup, every message.
docs/ also has the guides of admin, operator, security officer, auditor and app developer;
docs/html/index.html shows them in a browser, with a search. On the host: appliance docs
auditor/ has the programs that check the audit log and receipts on another machine.
monitoring/ has rules for Prometheus and a dashboard for Grafana.
"""


def main() -> None:
    """Command line: build the bundle in OUT and print what it holds."""
    parser = argparse.ArgumentParser(prog="appliance bundle build")
    parser.add_argument("out", type=Path, metavar="OUT", help="directory for the stick")
    parser.add_argument("--key", type=Path, required=True, help="the vendor's: a file, or pkcs11:…")
    parser.add_argument("--new-key", action="store_true", help="make it if it is not there")
    parser.add_argument("--counter", type=int, help="by default the number of commits")
    for name in ("--model", "--lab-model"):
        parser.add_argument(name, type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument(
        "--default-model", action="store_true", help="the catalogue's, under its id, for a lab"
    )
    parser.add_argument(
        "--embedder", action="store_true", help="multilingual-e5-small (MIT, +74 MB), for a lab"
    )
    parser.add_argument("--plugin", action="append", default=[], metavar="NAME=WHEEL")
    parser.add_argument("--trust", type=Path, metavar="DIR", help="trust metadata of the site")
    options = parser.parse_args()
    if options.new_key and not media.on_token(options.key) and not options.key.exists():
        media.new_key(options.key)
    with tempfile.TemporaryDirectory(dir=_work()) as work:
        _build(options, Path(work))


def _build(options: argparse.Namespace, work: Path) -> None:
    lab_models = [path.absolute() for path in options.lab_model]
    if options.default_model:
        lab_models.append(lay_out(work, default_model()))
    if options.embedder:
        lab_models.append(e5.lay_out(work / e5.ID))
    wanted = Wanted(
        key=options.key if media.on_token(options.key) else options.key.absolute(),
        counter=options.counter or commits(),
        models=[path.absolute() for path in options.model],
        lab_models=lab_models,
        plugins=[(n, Path(p).absolute()) for n, _, p in (x.partition("=") for x in options.plugin)],
        trust=options.trust and options.trust.absolute(),
    )
    out = options.out.absolute()
    found = build(out, wanted)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    models = sum(part.size for part in found.of("model"))
    print(f"{out}: release {found.release}, counter {found.counter}")
    print(f"{size / 1e6:.1f} MB in all, {(size - models) / 1e6:.1f} MB without models")
    names = [directory.name for directory in (*wanted.models, *wanted.lab_models)]
    print(f"models, as the answers name them: {', '.join(names) or 'none'}")
    print(f"fingerprint of the key, for the paper: {sha256_file(out / 'vendor.pub')}")


if __name__ == "__main__":
    command_line(main)
