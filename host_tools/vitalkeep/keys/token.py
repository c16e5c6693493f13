"""P-256 keys in a PKCS#11 token (a smart card, an HSM, SoftHSM), which never leave it.

A token is named by its PKCS#11 URI (RFC 7512):

    pkcs11:token=ward;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so

The PIN is never part of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from vitalkeep.errors import ToolError

_SCHEME = "pkcs11:"
_EXAMPLE = "pkcs11:token=ward;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so"
_SIZE = 32  # of a coordinate and of a shared secret, bytes


@dataclass(frozen=True)
class Address:
    """Where a key is: the token's label, the key's label, and the library that speaks to it."""

    token: str
    object: str
    module: str

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Return the address that a PKCS#11 URI means; raises ToolError."""
        path, _, query = uri.removeprefix(_SCHEME).partition("?")
        found = dict(_pairs(path, ";")) | dict(_pairs(query, "&"))
        if not uri.startswith(_SCHEME) or set(found) != {"token", "object", "module-path"}:
            # What a URI says too much may be a PIN: it is not repeated.
            raise ToolError(
                "a token's URI names token, object and module-path, and nothing else",
                f"For example {_EXAMPLE}",
            )
        return cls(found["token"], found["object"], found["module-path"])

    def __str__(self) -> str:
        module = quote(self.module, safe="/")
        return (
            f"{_SCHEME}token={quote(self.token)};object={quote(self.object)}?module-path={module}"
        )


def _pairs(text: str, separator: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, text.split(separator)):
        name, _, value = part.partition("=")
        yield name, unquote(value)


class TokenKey(ec.EllipticCurvePrivateKey):
    """A private key that stays in its token; it signs and agrees, and cannot be read."""

    def __init__(self, address: Address, private: Any, public: ec.EllipticCurvePublicKey) -> None:
        self._address = address
        self._private = private
        self._public = public
        self._turn = threading.Lock()  # a session does one thing at a time

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return the DER signature of `data`; raises ToolError when the token refuses."""
        algorithm = signature_algorithm.algorithm
        digest = bytes(data)
        if not isinstance(algorithm, Prehashed):
            hashed = hashes.Hash(algorithm)
            hashed.update(digest)
            digest = hashed.finalize()
        with _refusals(self._address), self._turn:
            raw = self._private.sign(digest, mechanism=_pkcs11().Mechanism.ECDSA)
        return encode_dss_signature(
            int.from_bytes(raw[:_SIZE], "big"), int.from_bytes(raw[_SIZE:], "big")
        )

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Return the secret of 32 bytes shared with a peer; raises ToolError."""
        p11 = _pkcs11()
        template = {p11.Attribute.SENSITIVE: False, p11.Attribute.EXTRACTABLE: True}
        with _refusals(self._address), self._turn:
            secret = self._private.derive_key(
                p11.KeyType.GENERIC_SECRET,
                8 * _SIZE,
                mechanism=p11.Mechanism.ECDH1_DERIVE,
                mechanism_param=(p11.KDF.NULL, None, point_of(peer_public_key)),
                template=template,
            )
            return bytes(secret[p11.Attribute.VALUE])

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def private_numbers(self) -> NoReturn:
        raise self._stays()

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        raise self._stays()

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, _: object) -> TokenKey:
        return self

    def _stays(self) -> ToolError:
        return ToolError(f"{self._address}: this key does not leave its token")


def point_of(public: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as an uncompressed point, 65 bytes (SEC 1)."""
    return public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def open_key(address: Address, pin: bytes) -> TokenKey:
    """Return the key of an address.

    Raises  ToolError: no library, no token, no such key, a wrong PIN, a token that refuses
    """
    p11 = _pkcs11()
    with _refusals(address):
        session = _open(address, pin)
        named = {"label": address.object, "key_type": p11.KeyType.EC}
        private = session.get_key(object_class=p11.ObjectClass.PRIVATE_KEY, **named)
        public = session.get_key(object_class=p11.ObjectClass.PUBLIC_KEY, **named)
        return TokenKey(address, private, _public(public))


def make_key(address: Address, pin: bytes) -> TokenKey:
    """Make a P-256 key in a token; raises ToolError as `open_key`, or when there is one."""
    p11 = _pkcs11()
    from pkcs11.util.ec import encode_named_curve_parameters

    with _refusals(address):
        session = _open(address, pin, rw=True)
        wanted = {p11.Attribute.LABEL: address.object}
        if any(True for _ in session.get_objects(wanted)):
            raise ToolError(
                f"{address}: there is an object of that name already",
                "Choose another: object=... in the URI.",
            )
        curve = encode_named_curve_parameters("secp256r1")
        domain = session.create_domain_parameters(
            p11.KeyType.EC, {p11.Attribute.EC_PARAMS: curve}, local=True
        )
        public, private = domain.generate_keypair(
            store=True,
            label=address.object,
            capabilities=p11.MechanismFlag.SIGN
            | p11.MechanismFlag.VERIFY
            | p11.MechanismFlag.DERIVE,
        )
        return TokenKey(address, private, _public(public))


def _public(key: Any) -> ec.EllipticCurvePublicKey:
    """Return a token's public key; its point is a DER octet string."""
    from pkcs11.util.ec import encode_ec_public_key

    found = serialization.load_der_public_key(encode_ec_public_key(key))
    if not isinstance(found, ec.EllipticCurvePublicKey) or found.key_size != 8 * _SIZE:
        raise ToolError("the token's key is not on P-256", "Make another: it takes no other kind.")
    return found


def _pkcs11() -> ModuleType:
    try:
        import pkcs11
    except ImportError:
        raise ToolError(
            "tokens need the package python-pkcs11", "Install it: pip install 'vitalkeep[token]'."
        ) from None
    module: ModuleType = pkcs11
    return module


def _open(address: Address, pin: bytes, rw: bool = False) -> Any:
    """Return a session that is logged in. A process logs in once for all its sessions."""
    token = _pkcs11().lib(address.module).get_token(token_label=address.token)
    from pkcs11.exceptions import UserAlreadyLoggedIn

    try:
        return token.open(user_pin=pin.decode(), rw=rw)
    except UserAlreadyLoggedIn:
        return token.open(rw=rw)


@contextmanager
def _refusals(address: Address) -> Iterator[None]:
    """Turn what a token says into what its owner can do about it."""
    from pkcs11 import exceptions

    try:
        yield
    except exceptions.PKCS11Error as error:
        why, hint = _REASONS.get(type(error).__name__, _UNKNOWN)
        raise ToolError(f"{address}: {why}", hint) from None


_WRONG_PIN = ("the PIN is wrong", "Try again; few tries are left.")
_UNKNOWN = ("the token refuses", "The tool of the token's maker says what it can do.")
_REASONS = {
    "PinLocked": ("the token is locked", "Its security officer can unlock it."),
    "PinIncorrect": _WRONG_PIN,
    "PinInvalid": _WRONG_PIN,
    "PinLenRange": _WRONG_PIN,
    "NoSuchToken": ("there is no such token", "Is it plugged in, is its label right?"),
    "NoSuchKey": ("the token has no such key", "See what it has: pkcs11-tool -O."),
    # What the package says of a library that does not load.
    "PKCS11Error": ("its library does not load", "Is module-path right? Each maker has its own."),
}
