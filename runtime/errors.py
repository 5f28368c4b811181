"""What a user can get wrong with models and memory."""


class ModelError(Exception):
    """A model that is missing, malformed or too large, with the next step in `hint`."""

    exit_code = 5

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message (what, which value, what was expected) and the hint (what to do)."""
        super().__init__(message)
        self.hint = hint


class OutOfMemory(ModelError):
    """A prompt whose predicted peak does not fit this machine."""
