"""What others say, before a person sees it: no byte of theirs steers the terminal."""


def shown(text: str) -> str:
    """Return a text in one line, with control characters and what turns lines round in escapes."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )
