"""`tls`, with the dates of certificates checked by the board's own clock.

mbedTLS of the unix port asks this computer for the date, and of a board machine.RTC: there a
certificate is "not yet valid" until the firmware has set the clock. Here the verify callback
looks at the dates as well, and what it raises comes out of the handshake, where mbedTLS raises
the same words. A certificate must thus be valid on both dates, this computer's and the board's.

boot.py puts this module in the place of `tls`.
"""

import time

import tls as _below  # tls_stalls, which boot.py has put there
from tls import *  # noqa: F403


def _check_dates(certificate, depth):
    from bridge.core.x509 import validity

    begins_s, ends_s = validity(bytes(certificate))
    if time.utc_s() < begins_s:
        raise ValueError("The certificate validity starts in the future\n")
    if time.utc_s() > ends_s:
        raise ValueError("The certificate validity has expired\n")
    return 0


def SSLContext(protocol):
    """Return a context; a client's checks dates by the board's clock."""
    context = _below.SSLContext(protocol)
    if protocol in (_below.PROTOCOL_TLS_CLIENT, _below.PROTOCOL_DTLS_CLIENT):
        context.verify_callback = _check_dates
    return context
