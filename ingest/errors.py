"""What a user can get wrong while pointing at text."""


class InputError(Exception):
    """A source that cannot be read or packed, with the next step in `hint`."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message (what, which value, what was expected) and the hint (what to do)."""
        super().__init__(message)
        self.hint = hint


class OverBudget(InputError):
    """Text that does not fit the window."""

    exit_code = 4


class NotARepository(InputError):
    """A path that no git repository holds, where a revision was asked for."""


class UnknownRevision(InputError):
    """A revision that the repository does not have."""
