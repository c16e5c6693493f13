"""Whether a broker lets the holder of a certificate in: asked of the broker itself."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization as form

from bridge.core import mqtt
from bridge.core.errors import FormatError
from vitalkeep.keys.ca import Bundle
from vitalkeep.site.known import Listener

_TIMEOUT_S = 10.0
_PACKET_MAX = 1024


class Unreachable(Exception):
    """Nothing that could be the broker answers; says what was met."""


def is_let_in(listener: Listener, bundle: Bundle) -> bool:
    """Say whether a broker opens a session for a certificate, and end that session.

    A broker ends another session under the same name for it.

    Raises  Unreachable
    """
    context = context_of(bundle)
    met = "no host in its certificate"
    for host in listener.hosts:
        try:
            line = socket.create_connection((host, listener.port), _TIMEOUT_S)
        except OSError as error:
            met = f"{host}:{listener.port}: {error.strerror or error}"
            continue
        with line:
            return _asks(line, host, context, bundle.issued.name)
    raise Unreachable(met)


def context_of(bundle: Bundle) -> ssl.SSLContext:
    """Return a client's context that shows a certificate and trusts the ward's authority alone."""
    trusted = bundle.authority.public_bytes(form.Encoding.PEM).decode()
    context = ssl.create_default_context(cadata=trusted)
    # OpenSSL takes a key from a file alone: there it is under a passphrase of this moment.
    word = secrets.token_bytes(16).hex()
    locked = bundle.key.private_bytes(
        form.Encoding.PEM,
        form.PrivateFormat.PKCS8,
        form.BestAvailableEncryption(word.encode()),
    )
    certificate = bundle.issued.certificate.public_bytes(form.Encoding.PEM)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "knock.pem"
        path.write_bytes(certificate + locked)
        context.load_cert_chain(path, password=word)
    return context


def _asks(line: socket.socket, host: str, context: ssl.SSLContext, name: str) -> bool:
    decoder = mqtt.Decoder(_PACKET_MAX)
    try:
        with context.wrap_socket(line, server_hostname=host) as session:
            session.sendall(mqtt.connect(name, 10))
            while (packet := decoder.next_packet()) is None:
                data = session.recv(_PACKET_MAX)
                if not data:
                    return False
                decoder.feed(data)
            if packet.type != mqtt.CONNACK or packet.code:
                return False
            with contextlib.suppress(OSError):
                session.sendall(mqtt.disconnect())
            return True
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"{host}: not the ward's broker ({error.verify_message})") from None
    except (TimeoutError, FormatError):
        raise Unreachable(f"{host}: nothing there speaks MQTT") from None
    except OSError:
        return False  # an alert, or the line is cut: so it says no
