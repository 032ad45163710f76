"""Ed25519 signatures of heads, handovers and witnesses, checked by libsodium.

libsodium accepts nothing that OpenSSL refuses: both check the equation without the cofactor. It
refuses keys of small order, which would accept one signature for any text.

Sources: RFC 8032, section 5.1.7; libsodium's `crypto_sign_open`.
"""

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey


def holds(signature: bytes, text: bytes, public: bytes) -> bool:
    """True if the key (32 bytes) made the signature (64 bytes) of this text."""
    try:
        VerifyKey(public).verify(text, signature)
    except (BadSignatureError, ValueError):
        return False
    return True
