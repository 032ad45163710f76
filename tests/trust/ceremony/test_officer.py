"""The officer's keys and signatures."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.errors import Refused
from appliance.trust.bytes import ecdsa
from appliance.trust.ceremony import officer
from appliance.trust.policy import lab


def test_a_signer_is_known_by_the_key_that_a_root_lists() -> None:
    private = ec.generate_private_key(ec.SECP384R1())
    key = officer.public_key(ecdsa.public_pem(private.public_key()), "Ada")
    signer = officer.OfficerSigner(private)
    assert signer.public_key.keyid == key.keyid
    assert key.unrecognized_fields == {"x-holder": "Ada"}
    key.verify_signature(signer.sign(b"metadata"), b"metadata")


def test_a_labs_key_is_refused() -> None:
    public = ecdsa.public_pem(ec.generate_private_key(ec.SECP384R1()).public_key())
    officer.public_key(public, "Ada")
    with pytest.raises(Refused) as caught:
        officer.public_key(lab.MARK + public, "Ada")
    assert caught.value.code == "trust_profile"
