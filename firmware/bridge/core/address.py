"""Whether a host is given in numbers. Pure."""


def is_address(host):
    """Say whether a host is four decimal numbers, which nobody needs to look up."""
    parts = host.split(".")
    if len(parts) != 4:
        return False
    for part in parts:
        if not part.isdigit() or len(part) > 3 or int(part) > 255:
            return False
    return True
