"""Reading ahead: in order, few at a time, and errors come where they belong."""

import pytest

from sandglass.inference.ahead import AHEAD, ahead


@pytest.mark.parametrize("count", [0, 1, AHEAD, AHEAD + 1, 40])
def test_it_is_map(count):
    assert list(ahead(lambda i: i * i, range(count))) == [i * i for i in range(count)]


def test_no_more_wait_than_may():
    done: list[int] = []
    for taken, _ in enumerate(ahead(done.append, range(40))):
        assert len(done) <= taken + AHEAD


def test_an_error_is_raised_at_its_place():
    def read(i: int) -> int:
        if i == 3:
            raise ValueError("three")
        return i

    values = ahead(read, range(10))
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(values)
