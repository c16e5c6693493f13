"""A site's configuration for nats-server 2.9 or newer: `nats-server -c nats.conf`.

The server maps MQTT's `vk/+/health` to its subject `vk.*.health`. It reads no revocation list:
here each certificate is a user of its own, by the URI in it, and one that is revoked is none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from vitalkeep.site.rights import User

_CONFIG = """\
# Written by `vitalkeep site config`, which overwrites it. Settings of your own: own.conf

server_name: {name}

# The server's own protocol: {own_use}
host: {own_host}
port: {own_port}
{tls}

# What it acknowledges it keeps on disk. Gateways do not rely on that: they forget only what a
# hub has receipted.
jetstream {{ store_dir: {store}, max_memory_store: 64M, max_file_store: 4G }}

# The largest message is a heartbeat of two kilobytes; a hub ends its session over a giant one.
max_payload: 8192

mqtt {{
  host: {host}
  port: {port}
  ack_wait: "30s"
  max_ack_pending: 1000  # a hub acknowledges when its database has committed
{replicas}  {mqtt_tls}
}}
{cluster}
# No `websocket` and no `http` block: neither port is opened.

authorization {{
  timeout: 10
  include "users.conf"
}}

include "own.conf"
"""

# The servers call each other, both sides with the certificate of a node. One that holds another
# role's certificate of the ward is no server: a host name in it must be that of a route.
_CLUSTER = """
cluster {{
  name: {name}
  host: {host}
  port: {port}
  routes: [{routes}]
  {tls}
}}
"""

# What a server has acknowledged, each of three has on its disk: one may be lost with its disk.
_REPLICAS = """\
  stream_replicas: 3
"""

# Ephemeral keys and an authenticated cipher; the server speaks TLS 1.2 and newer anyway.
_TLS = """\
tls {{
  cert_file: {certificate}
  key_file: {key}
  ca_file: {ca}
  {verify}
  timeout: 10
  cipher_suites: [
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
  ]
}}"""

ROUTES_PORT = 6222

_UNUSED = "of no use to us, so on this machine only, and no user may speak it."
_WITNESS = "hubs alone speak it, to agree on their duties (hub.toml: witness)."
# What a hub needs of JetStream for that: its one bucket, and the answers.
_BUCKET = "KV_vitalkeep_duties"
_WITNESS_PUBLISHES = (
    f"$JS.API.STREAM.INFO.{_BUCKET}",
    f"$JS.API.STREAM.CREATE.{_BUCKET}",
    f"$JS.API.STREAM.MSG.GET.{_BUCKET}",
    f"$JS.API.DIRECT.GET.{_BUCKET}.>",
    "$KV.vitalkeep_duties.>",
)
_WITNESS_READS = ("_INBOX.>",)

_USERS_HEAD = """\
# Written by `vitalkeep site config`: a certificate that is not here, lets nobody in.
"""

# Where the server delivers messages of QoS 1 to a session; clients cannot name it themselves.
_DELIVERY = "$MQTT.sub.>"


def subject(topic: str) -> str:
    """Return an MQTT topic filter as a subject of NATS."""
    return topic.replace("/", ".").replace("+", "*")


@dataclass(frozen=True)
class Node:
    """One server of a cluster.

    routes  (host name, port) at which the others call it
    listen  (host, port) of its MQTT listener
    witness  (host, port) at which hubs agree on their duties, None for nowhere
    """

    name: str
    routes: tuple[str, int]
    listen: tuple[str, int]
    witness: tuple[str, int] | None = None


def files(users: Sequence[User], listen: tuple[str, int], path: str, name: str) -> dict[str, str]:
    """Return {file name: text}.

    listen  address and port of the MQTT listener
    path    of the folder on the broker's machine
    name    of the site
    """
    return _files(users, listen, path, name, 4222, "", "", None)


def node_files(
    users: Sequence[User], node: Node, nodes: Sequence[Node], path: str, name: str
) -> dict[str, str]:
    """Return {file name: text} of one server of a cluster.

    node, nodes  this one, and all of them
    name         of the cluster
    """
    host, port = node.routes
    routes = [
        f"nats-route://{name}:{number}" for name, number in (other.routes for other in nodes)
    ]
    cluster = _CLUSTER.format(
        name=json.dumps(name),
        host=json.dumps("127.0.0.1" if host == "localhost" else "0.0.0.0"),
        port=port,
        routes=", ".join(map(json.dumps, routes)),
        tls=_tls(path, "verify_cert_and_check_known_urls: true").replace("\n", "\n  "),
    )
    # Several of them may be on one machine, where any free port does for what nobody uses.
    return _files(users, node.listen, path, node.name, -1, cluster, _REPLICAS, node.witness)


def _tls(path: str, verify: str) -> str:
    return _TLS.format(
        certificate=json.dumps(f"{path}/tls/certificate.pem"),
        key=json.dumps(f"{path}/tls/key.pem"),
        ca=json.dumps(f"{path}/tls/ca.pem"),
        verify=verify,
    )


def _files(
    users: Sequence[User],
    listen: tuple[str, int],
    path: str,
    name: str,
    own_port: int,
    cluster: str,
    replicas: str,
    witness: tuple[str, int] | None,
) -> dict[str, str]:
    tls = _tls(path, "verify_and_map: true")
    host, port = listen
    config = _CONFIG.format(
        name=json.dumps(name),
        tls=tls,
        mqtt_tls=tls.replace("\n", "\n  "),
        store=json.dumps(f"{path}/jetstream"),
        host=json.dumps(host),
        port=port,
        own_use=_WITNESS if witness else _UNUSED,
        own_host=json.dumps(witness[0] if witness else "127.0.0.1"),
        own_port=witness[1] if witness else own_port,
        cluster=cluster,
        replicas=replicas,
    )
    lines = [_USERS_HEAD, "users: ["]
    for user in users:
        reads = [subject(topic) for topic in user.reads]
        publishes = [subject(topic) for topic in user.publishes]
        kinds = ["MQTT"]
        if witness and user.role == "hub":
            kinds.append("STANDARD")
            publishes += _WITNESS_PUBLISHES
            reads += _WITNESS_READS
        publish = {"allow": publishes}
        subscribe = {"allow": [*reads, _DELIVERY]}
        for issued in user.certificates:
            entry = {
                "user": issued.user,
                "allowed_connection_types": kinds,
                "permissions": {"publish": publish, "subscribe": subscribe},
            }
            lines.append("  " + json.dumps(entry))
    lines += ["]", ""]
    own = "# Read at the end of nats.conf, for settings of your own.\n"
    return {"nats.conf": config, "users.conf": "\n".join(lines), "own.conf": own}


ADVICE = {
    "start": "Start it: nats-server -c {path}/nats.conf",
    "reload": "Have the server read them: nats-server --signal reload (or kill -HUP its process).",
    "restart": "The listener changed: restart nats-server.",
}
