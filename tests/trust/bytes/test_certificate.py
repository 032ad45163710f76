"""Certificate chains: one is good, and each way to break it has its code."""

import warnings
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.errors import SignatureRefused
from appliance.trust.bytes import certificate
from tests.trust.certs import (
    DAY,
    ISSUER,
    LEAF,
    NOW,
    NOW_US,
    ROOT,
    Chain,
    Wanted,
    chain,
    make,
)

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(SignatureRefused) as caught:
        action()
    return caught.value.code


def verify(made: Chain, at_us: int = NOW_US) -> tuple[object, ...]:
    return certificate.verify(made.carried, [made.root.certificate], at_us)


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.name)
def test_a_good_chain(curve: ec.EllipticCurve) -> None:
    made = chain(curve=curve)
    assert verify(made) == (
        made.leaf.certificate,
        made.issuer.certificate,
        made.root.certificate,
    )


GOOD = {
    "no basic constraints on the signer": chain(LEAF.but(ca=None)),
    "a path length that is long enough": chain(root=ROOT.but(path_length=1)),
    "an issuer without key usage": chain(issuer=ISSUER.but(digital_signature=None)),
    "a validity without end": chain(root=ROOT.but(end=NOW.replace(year=9999))),
}


@pytest.mark.parametrize("made", GOOD.values(), ids=GOOD)
def test_what_real_chains_look_like_is_taken(made: Chain) -> None:
    assert len(verify(made)) == 3


def test_the_root_may_be_carried_along_and_the_issuer_may_be_missing() -> None:
    made = chain()
    certificate.verify([*made.carried, made.root.certificate], [made.root.certificate], NOW_US)
    leaf = make(LEAF, made.root)
    assert len(certificate.verify([leaf.certificate], [made.root.certificate], NOW_US)) == 2


PAST = {"start": NOW - 9 * DAY, "end": NOW - DAY}
FUTURE = {"start": NOW + DAY, "end": NOW + 9 * DAY}
BAD: dict[str, tuple[Wanted, Wanted, Wanted, str]] = {
    "signer expired": (LEAF.but(**PAST), ISSUER, ROOT, "certificate_validity"),
    "signer not yet valid": (LEAF.but(**FUTURE), ISSUER, ROOT, "certificate_validity"),
    "issuer expired": (LEAF, ISSUER.but(**PAST), ROOT, "certificate_validity"),
    "issuer not yet valid": (LEAF, ISSUER.but(**FUTURE), ROOT, "certificate_validity"),
    "root expired": (LEAF, ISSUER, ROOT.but(**PAST), "certificate_untrusted"),
    "issuer no CA": (LEAF, ISSUER.but(ca=False), ROOT, "certificate_untrusted"),
    "issuer without basic constraints": (LEAF, ISSUER.but(ca=None), ROOT, "certificate_untrusted"),
    "issuer may not sign certificates": (
        LEAF, ISSUER.but(cert_sign=False, digital_signature=True), ROOT, "certificate_untrusted"
    ),
    "path length": (LEAF, ISSUER, ROOT.but(path_length=0), "certificate_untrusted"),
    "no digitalSignature": (
        LEAF.but(digital_signature=False), ISSUER, ROOT, "certificate_usage"
    ),
    "no key usage": (LEAF.but(digital_signature=None), ISSUER, ROOT, "certificate_usage"),
    "signer a CA": (LEAF.but(ca=True), ISSUER, ROOT, "certificate_untrusted"),
    "unknown critical extension of the signer": (
        LEAF.but(critical=True), ISSUER, ROOT, "certificate_untrusted"
    ),
    "unknown critical extension of the issuer": (
        LEAF, ISSUER.but(critical=True), ROOT, "certificate_untrusted"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("leaf", "issuer", "root", "code"), BAD.values(), ids=BAD)
def test_a_bad_chain(leaf: Wanted, issuer: Wanted, root: Wanted, code: str) -> None:
    made = chain(leaf, issuer, root)
    assert code_of(lambda: verify(made)) == code


def test_the_time_is_the_callers_not_the_hosts() -> None:
    made = chain(LEAF.but(start=NOW - DAY, end=NOW + DAY))
    later = NOW_US + 2 * 86_400_000_000
    assert len(verify(made)) == 3
    assert code_of(lambda: verify(made, later)) == "certificate_validity"
    assert code_of(lambda: verify(made, NOW_US - 2 * 86_400_000_000)) == "certificate_validity"


def test_the_nearest_time_at_which_a_chain_is_valid() -> None:
    made = chain(LEAF.but(start=NOW - DAY, end=NOW + DAY))
    day = 86_400_000_000
    found = [certificate.within(made.carried, NOW_US + days * day) for days in (-9, -1, 0, 1, 9)]
    assert [(at_us - NOW_US) // day for at_us in found] == [-1, -1, 0, 1, 1]
    for days in (-9, 0, 9):
        verify(made, certificate.within(made.carried, NOW_US + days * day))
    never = chain(LEAF.but(start=NOW - 9 * DAY, end=NOW - 5 * DAY), ISSUER.but(start=NOW))
    assert certificate.within(never.carried, NOW_US) == NOW_US


def test_another_root_of_the_same_name_is_not_the_root() -> None:
    made, other = chain(), make(ROOT)
    carried = [*made.carried, made.root.certificate]
    action = lambda: certificate.verify(carried, [other.certificate], NOW_US)  # noqa: E731
    assert code_of(action) == "certificate_untrusted"
    assert code_of(lambda: certificate.verify(carried, [], NOW_US)) == "certificate_untrusted"


def test_a_signature_by_another_issuer_of_the_same_name() -> None:
    made = chain()
    stranger = chain()
    carried = [stranger.leaf.certificate, made.issuer.certificate]
    action = lambda: certificate.verify(carried, [made.root.certificate], NOW_US)  # noqa: E731
    assert code_of(action) == "certificate_untrusted"


def test_a_signer_that_is_its_own_root_is_refused() -> None:
    own = make(ROOT.but(digital_signature=True))
    action = lambda: certificate.verify([own.certificate], [own.certificate], NOW_US)  # noqa: E731
    assert code_of(action) == "certificate_untrusted"


def test_the_signers_key_must_be_on_one_of_the_curves() -> None:
    key = make(LEAF.but(curve=ec.SECP256K1()), make(ROOT)).certificate
    assert code_of(lambda: certificate.public_key(key)) == "signature_key_unsupported"
    assert certificate.public_key(chain().leaf.certificate).curve.name == "secp384r1"


def test_an_rsa_key_is_refused() -> None:
    made = chain()
    builder = x509.CertificateBuilder()
    leaf = made.leaf.certificate
    key = rsa.generate_private_key(65537, 2048)
    signed = (
        builder.subject_name(leaf.subject)
        .issuer_name(leaf.issuer)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(leaf.not_valid_before_utc)
        .not_valid_after(leaf.not_valid_after_utc)
        .sign(made.issuer.key, hashes.SHA384())
    )
    assert code_of(lambda: certificate.public_key(signed)) == "signature_key_unsupported"


@pytest.mark.parametrize("ders", [[], [b""], [b"x" * 40], [b"\x30\x03\x02\x01\x01"]])
def test_what_is_no_certificate(ders: list[bytes]) -> None:
    assert code_of(lambda: certificate.load_der(ders)) == "certificate_malformed"


def test_a_chain_is_bounded() -> None:
    der = chain().leaf.certificate.public_bytes(Encoding.DER)
    assert len(certificate.load_der([der] * certificate.MAX_CHAIN)) == certificate.MAX_CHAIN
    many = [der] * (certificate.MAX_CHAIN + 1)
    assert code_of(lambda: certificate.load_der(many)) == "certificate_malformed"


def test_pem_files() -> None:
    made = chain()
    assert certificate.load_pem(made.pem) == tuple(made.carried)
    assert code_of(lambda: certificate.load_pem(b"none")) == "certificate_malformed"


def test_every_truncated_and_flipped_certificate_is_refused_or_another() -> None:
    made = chain()
    der = made.leaf.certificate.public_bytes(Encoding.DER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography warns of odd but readable ones
        for place in range(0, len(der), 3):
            broken = der[:place] + bytes([der[place] ^ 0x55]) + der[place + 1 :]
            for data in (broken, der[:place]):
                try:
                    read = certificate.load_der([data])[0]
                    certificate.public_key(read)
                    certificate.verify(
                        [read, made.issuer.certificate], [made.root.certificate], NOW_US
                    )
                except SignatureRefused:
                    continue
                raise AssertionError(f"accepted with byte {place} changed")
