"""A site's trust metadata, from its security officer's stick or in the bundle, for the product.

Rules: the bundle's signature proves nothing about a site's policy: metadata go through `trust
update`, and only the fingerprint from paper makes a file the site's root. Refused metadata stop the
first installation, since a site without a policy cannot serve; later they are only reported.
"""

import shutil
from pathlib import Path
from typing import Any, Final

from installer.host.context import Context
from installer.host.files import remove
from installer.host.problems import InstallError

_ROOT: Final = "metadata/1.root.json"
_LAID_OUT: Final = ("metadata", "targets")
_MOST_FILES: Final = 1000
_LARGEST: Final = 16 << 20


def profile(run: Context) -> list[str]:
    """The options of `init` that follow from the answers."""
    arguments = ["--profile", run.answers.profile]
    place = lay_out(run)
    if run.answers.profile == "site" and place is not None:
        arguments += ["--root", str(place / _ROOT)]
        arguments += ["--fingerprint", run.answers.trust_fingerprint]
    return arguments


def bring(run: Context) -> dict[str, Any]:
    """Take the metadata, if there are any; their versions by name.

    `step_failed` when they are refused and no policy is in force.
    """
    place = lay_out(run)
    if place is None:
        return {}
    if (run.layout.data / "keys" / "lab").is_dir():
        run.say("  trust metadata: not taken, these data are of a lab")
        return {}
    try:
        found = run.product().run("trust", "update", str(place))
    except InstallError as error:
        if not run.data_existed:
            raise
        run.say(f"  trust metadata: NOT TAKEN, {error.message}")
        return {"refused": error.message}
    finally:
        remove(_copies(run))
    versions: dict[str, Any] = found["after"]
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    run.say(f"  trust metadata: {'taken' if found['changed'] else 'in force already'}: {shown}")
    return versions


def lay_out(run: Context) -> Path | None:
    """A directory with metadata that the product may read; None if there are none.

    Those of the answers come before the bundle's; they are copied, since the service's account may
    not read there (`media_unreadable`).
    """
    if not run.answers.trust:
        carried = any(part.kind == "trust" for part in run.parts)
        return run.release / "trust" if carried else None
    place, source = _copies(run), Path(run.answers.trust)
    remove(place)
    try:
        for below in _LAID_OUT:
            (place / below).mkdir(parents=True)
            for path in sorted((source / below).iterdir())[:_MOST_FILES]:
                if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST:
                    shutil.copyfile(path, place / below / path.name)
    except OSError as error:
        raise InstallError("media_unreadable", f"{source}: {error.strerror}.") from error
    if not run.layout.user:
        run.layout.state.chmod(0o711)  # the account reads this directory, nothing else
    return place


def _copies(run: Context) -> Path:
    return run.layout.state / "trust"
