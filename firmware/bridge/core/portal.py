"""Whether what answers a plain HTTP question is a captive portal in the site's place. Pure."""

from micropython import const

HEAD_MAX = const(512)
_AUTHENTICATE = b"511"  # Network Authentication Required (RFC 6585)


def request(host):
    """Return a question that a portal cannot leave alone."""
    return b"GET / HTTP/1.0\r\nHost: " + host.encode() + b"\r\n\r\n"


def is_portal(head, hosts):
    """Say whether the first bytes of an answer are a portal's.

    head   at most HEAD_MAX bytes of the answer
    hosts  names and addresses that a site may send people to: its own

    A portal sends elsewhere, or says outright that it wants a login. Whatever else answers may be
    the site's own web server, and is not accused.
    """
    lines = bytes(head).split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return False
    if words[1] == _AUTHENTICATE:
        return True
    if words[1][:1] != b"3":
        return False
    for line in lines[1:-1]:  # the last may be cut short
        if line[:9].lower() == b"location:":
            target = line[9:].strip().split(b"//", 1)
            if len(target) < 2 or target[0] not in (b"http:", b"https:"):
                return False
            place = target[1].split(b"/", 1)[0].split(b":", 1)[0]
            return place.lower() not in [host.encode().lower() for host in hosts]
    return False
