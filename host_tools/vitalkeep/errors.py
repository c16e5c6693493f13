"""Expected failures of the host tools: shown as two lines, never as a traceback."""


class ToolError(Exception):
    """What went wrong, in one sentence, and what to do about it.

    message    the failure: where, what was found, what was expected
    hint       the next action for the person who reads it
    exit_code  of the process, 1 unless a caller has something to tell scripts
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
