"""The built-in `micropython`, whose kbd_intr tells the rig what Ctrl-C on the console does.

The unix port would make SIGINT kill the interpreter where a board takes the character as one.
"""

import vboard
from micropython import *  # noqa: F403


def kbd_intr(code):
    """Have the character `code` interrupt the program, none for -1; "said-kbd-intr" has it."""
    vboard.tell("kbd-intr", str(code))
