"""What a user reads of a mistake is one line, of bounded length, that cannot steer a terminal."""

from sandglass.core.errors import LONGEST, BadInput


def test_one_line_without_control_characters() -> None:
    assert str(BadInput("a\n  b\t c")) == "a b c"
    assert str(BadInput("file \x1b[2J: no")) == "file \\x1b[2J: no"


def test_a_long_one_keeps_its_ends() -> None:
    """The place comes first, the cure last."""
    assert str(BadInput("x" * LONGEST)) == "x" * LONGEST
    said = str(BadInput("a.json: '" + "9" * 10**6 + "'; export it again"))
    assert len(said) == LONGEST + 3
    assert said.startswith("a.json: '9") and said.endswith("9'; export it again") and " … " in said
