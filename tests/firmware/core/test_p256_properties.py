"""What `cryptography` signs is right, and right for nothing else."""

import hashlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core import p256

_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Keys near both ends make the two points of a sum meet: they are doubled, or cancel out.
_SECRETS = st.one_of(
    st.integers(1, _N - 1), st.sampled_from((1, 2, 3, _N - 1, _N - 2, (_N + 1) // 2))
)


def public(secret: int) -> tuple[int, int]:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    point = p256.key_of(spki)
    numbers = key.public_key().public_numbers()
    assert point == (numbers.x, numbers.y)
    return point


@settings(deadline=None, max_examples=40)
@given(_SECRETS, st.binary(max_size=40), st.integers(0, 511))
def test_what_was_signed_is_right_and_a_flipped_bit_is_not(
    secret: int, text: bytes, bit: int
) -> None:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    point, digest = public(secret), hashlib.sha256(text).digest()
    assert list(p256.verify(point, digest, signature))[-1] is True
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    assert list(p256.verify(point, digest, bytes(changed)))[-1] is False


@settings(deadline=None, max_examples=40)
@given(
    _SECRETS, st.integers(1, _N - 1), st.integers(1, _N - 1), st.binary(min_size=32, max_size=32)
)
def test_any_numbers_are_judged_as_elsewhere(secret: int, r: int, s: int, digest: bytes) -> None:
    from cryptography.exceptions import InvalidSignature

    key = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
    try:
        key.verify(
            utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))
        )
        wanted = True
    except InvalidSignature:
        wanted = False
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert list(p256.verify(public(secret), digest, signature))[-1] is wanted


@settings(deadline=None, max_examples=60)
@given(_SECRETS, _SECRETS, st.sampled_from(("0", "n", "2**256-1", "rd", "-rd")))
def test_sums_that_meet_double_or_cancel_out_are_judged_as_elsewhere(
    secret: int, other: int, kind: str
) -> None:
    r = public(other)[0] % _N
    hashed = {"0": 0, "n": _N, "2**256-1": 2**256 - 1, "rd": r * secret % _N,
              "-rd": -r * secret % _N}[kind]  # fmt: skip
    digest = hashed.to_bytes(32, "big")
    # Of a hash that is -rd both points cancel out, whatever s is: nobody can have signed it.
    s = pow(other, -1, _N) * (hashed + r * secret) % _N
    for number in (s, _N - s) if s else (1, other):
        signature = r.to_bytes(32, "big") + number.to_bytes(32, "big")
        assert list(p256.verify(public(secret), digest, signature))[-1] is (s != 0)
