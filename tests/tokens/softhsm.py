"""SoftHSM2 from Debian as the token, and the same module with one fault."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.trust.bytes import ecdsa

UTIL = shutil.which("softhsm2-util")
GCC = shutil.which("gcc")
needs_softhsm = pytest.mark.skipif(UTIL is None, reason="softhsm2 is not installed")
needs_gcc = pytest.mark.skipif(UTIL is None or GCC is None, reason="no softhsm2, or no gcc")
PIN = "314159"
_FAULTY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef unsigned long (*any)(long, long, long, long, long, long, long, long);
static struct { unsigned char version[8]; any f[68]; } mine;
static any real;
static unsigned long faulty(long a, long b, long c, long d, long e, long f, long g, long h) {
    FILE *seen = fopen(SEEN, "a"); fputs("1", seen); fclose(seen);
    FAULT;
    return real(a, b, c, d, e, f, g, h);
}
unsigned long C_GetFunctionList(void **list) {
    void *(*get)(void **) = dlsym(dlopen(REAL, RTLD_NOW), "C_GetFunctionList"), *theirs;
    get(&theirs);
    memcpy(&mine, theirs, sizeof mine);
    real = mine.f[PLACE];
    mine.f[PLACE] = faulty;
    *list = &mine;
    return 0;
}
"""
LOG_IN, SIGN, GENERATE, TOKEN_INFO = 18, 43, 59, 6


@dataclass(frozen=True)
class SoftToken:
    at: Path
    module: Path

    def uri(self, key: str, *, module: Path | None = None, token: str = "site") -> str:
        return f"pkcs11:token={token};object={key}?module-path={module or self.module}"

    def add(self, label: str) -> None:
        assert UTIL is not None
        words = ["--init-token", "--free", "--label", label, "--so-pin", "27182818", "--pin", PIN]
        command = [UTIL, "--module", str(self.module), *words]
        subprocess.run(command, check=True, capture_output=True)

    def take(self, key: str, private: ec.EllipticCurvePrivateKey) -> None:
        """Import a key."""
        assert UTIL is not None
        (pem := self.at / f"{key}.pem").write_bytes(ecdsa.private_pem(private))
        words = [
            "--import",
            str(pem),
            "--token",
            "site",
            "--label",
            key,
            "--id",
            "7a",
            "--pin",
            PIN,
        ]
        command = [UTIL, "--module", str(self.module), *words]
        subprocess.run(command, check=True, capture_output=True)
        pem.unlink()

    def faulty(self, place: int, fault: str) -> Path:
        """The module with a fault in one function; `seen` has a character for each call."""
        assert GCC is not None
        path = self.at / f"faulty-{len(list(self.at.iterdir()))}.so"
        path.with_suffix(".c").write_text(_FAULTY)
        given = {
            "REAL": f'"{self.module}"',
            "SEEN": f'"{self.seen}"',
            "PLACE": place,
            "FAULT": fault,
        }
        defined = [f"-D{name}={value}" for name, value in given.items()]
        words = [*defined, "-o", str(path), str(path.with_suffix(".c"))]
        subprocess.run([GCC, "-shared", "-fPIC", "-w", *words], check=True)
        return path

    @property
    def seen(self) -> Path:
        return self.at / "seen"

    def kept(self) -> dict[str, bytes]:
        found = (self.at / "tokens").rglob("*.object")
        return {path.name: path.read_bytes() for path in found if path.name != "token.object"}


def soft_token(at: Path, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    assert UTIL is not None
    (at / "tokens").mkdir(parents=True)
    (at / "softhsm2.conf").write_text(f"directories.tokendir = {at}/tokens\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(at / "softhsm2.conf"))
    module = next(Path(UTIL).parents[1].glob("lib/**/softhsm/libsofthsm2.so"))
    made = SoftToken(at, module)
    made.add("site")
    return made
