"""The one exception that a user's input can cause: one line with the fact, the place and the cure."""


class BadInput(ValueError):
    """Something that the user gave cannot be used.

    The message is one line: what is wrong, where (file, annotation id), and what would cure it.
    The command line prints it without a traceback and exits with status 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
