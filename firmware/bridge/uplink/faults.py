"""One word for each way in which a session with a site ends, for counters and for people."""

import asyncio
import errno

from bridge.core.errors import ConfigError, ProtocolError, RefusedError

# What mbedTLS says of the site's certificate
_CERTIFICATE = (
    ("starts in the future", "certificate_not_yet_valid"),
    ("has expired", "certificate_expired"),
    ("does not match", "certificate_of_another"),
    ("not correctly signed", "certificate_untrusted"),
)
# And of what the peer answers instead of a handshake (mbedtls/ssl.h)
_HANDSHAKE = {
    -0x7780: "refused_in_handshake",  # its alert: our certificate, or no cipher in common
    -0x6E80: "refused_in_handshake",  # a version that we do not speak
    -0x6E00: "refused_in_handshake",
    -0x7200: "no_tls",
}
NO_SUCH_HOST = -2  # of an OSError: what getaddrinfo raises, too

# Somebody answers, and it is not the site
FAULTS_OF_STRANGERS = (
    "protocol",
    "broken_in_handshake",
    "no_tls",
    "certificate_of_another",
    "certificate_untrusted",
    "certificate_bad",
)
_UNREACHABLE = (
    errno.ECONNREFUSED,
    getattr(errno, "EHOSTUNREACH", 113),
    getattr(errno, "ENETUNREACH", 101),
)


def fault_of(error, stage):
    """Return the name of a fault.

    error  OSError, ValueError, ProtocolError, ConfigError or asyncio.TimeoutError that ended it
    stage  how far it had come: one of session.STAGES
    """
    if isinstance(error, ConfigError):
        return "certificate_missing"
    if isinstance(error, RefusedError):
        return "refused"
    if isinstance(error, ProtocolError):
        return "protocol"
    if isinstance(error, asyncio.TimeoutError):
        return "silent_in_" + stage
    if isinstance(error, ValueError):
        text = str(error)
        for part, name in _CERTIFICATE:
            if part in text:
                return name
        return "certificate_bad"
    code = error.args[0] if error.args else None
    if code == NO_SUCH_HOST:
        return "no_such_host"
    if code in _UNREACHABLE:
        return "unreachable"
    if stage == "handshake" and code in _HANDSHAKE:
        return _HANDSHAKE[code]
    return "broken_in_" + stage
