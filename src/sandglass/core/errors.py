"""The one exception that a user's input can cause: one line with the fact, the place and the cure."""

LONGEST = 1000


class BadInput(ValueError):
    """Something that the user gave cannot be used.

    The message is one line: what is wrong, where (file, annotation id), and what would cure it.
    The command line prints it without a traceback and exits with status 2. What a file holds may be long: of a message
    of more than LONGEST characters the middle is left out.
    """

    def __init__(self, message: str) -> None:
        line = plain(" ".join(message.split()))
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} … {line[-half:]}")


def plain(text: str) -> str:
    """The text with control characters spelt out: a file's name could otherwise steer the terminal that shows it."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
