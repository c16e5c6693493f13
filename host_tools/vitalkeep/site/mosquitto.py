"""A site's configuration for mosquitto 2.0 or newer: `mosquitto -c mosquitto.conf`."""

from __future__ import annotations

from collections.abc import Sequence

from vitalkeep.site.rights import User

_CONFIG = """\
# Site {name}. Written by `vitalkeep site config`, which overwrites it.
# Settings of your own: own.conf.d/*.conf

listener {port} {host}
protocol mqtt

# Who may connect: holders of a certificate of the ward's authority that is not revoked, and
# nobody else. The name in the certificate is the user, whatever the client says.
cafile {path}/tls/ca.pem
crlfile {path}/crl.pem
certfile {path}/tls/certificate.pem
keyfile {path}/tls/key.pem
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {path}/acl

# A client that claims another's identifier would end its session: the name decides here, too.
use_username_as_clientid true

# TLS 1.2 or newer, ephemeral keys and an authenticated cipher: what is recorded stays unreadable.
tls_version tlsv1.2
ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256

# Without it acknowledgements wait for the peer's own, 40 ms each.
set_tcp_nodelay true

# The largest packet is a heartbeat of two kilobytes; a hub ends its session over a giant one.
max_packet_size 8192

# A hub acknowledges when its database has committed. Until then messages wait here, and what is
# dropped beyond the bound comes again: a gateway forgets only what the hub receipted.
max_inflight_messages 1000
max_queued_messages 100000

# For the same reason nothing needs to be on the broker's disk: every session is a clean one, and
# retained states come again with the next session of each gateway.
persistence false

connection_messages true
log_timestamp_format %Y-%m-%dT%H:%M:%S
include_dir {path}/own.conf.d
"""

_ACL_HEAD = """\
# Written by `vitalkeep site config`: what is not here is refused. A denied publish is
# acknowledged all the same (MQTT 3.1.1 has no word for it) and goes nowhere.
"""


def files(users: Sequence[User], listen: tuple[str, int], path: str, name: str) -> dict[str, str]:
    """Return {file name: text}.

    listen  address and port of the listener
    path    of the folder on the broker's machine
    name    of the site
    """
    acl = [_ACL_HEAD]
    for user in users:
        acl.append(f"user {user.name}")
        acl += [f"topic write {topic}" for topic in user.publishes]
        acl += [f"topic read {topic}" for topic in user.reads]
        acl.append("")
    host, port = listen
    return {
        "mosquitto.conf": _CONFIG.format(name=name, host=host, port=port, path=path),
        "acl": "\n".join(acl),
        "own.conf.d/README": "Files here that end in .conf are read after mosquitto.conf.\n",
    }


ADVICE = {
    "start": "Start it: mosquitto -c {path}/mosquitto.conf",
    "reload": "Have mosquitto read them: kill -HUP its process (systemctl reload mosquitto).",
    "restart": "The listener changed: restart mosquitto.",
}
