"""Plain objects, which cross without the pickler: each arrives as what it was, at every length."""

import enum
import math

import pytest

from gates import PATIENCE

INTS = [
    sign * (1 << bits) + offset
    for bits in (0, 7, 8, 15, 16, 31, 32, 62, 63, 64, 100)
    for sign in (1, -1)
    for offset in (-1, 0, 1)
]
FLOATS = [0.0, -0.0, 1.5, -1e308, 5e-324, math.inf, -math.inf]
TEXTS = [
    text * length
    for length in (0, 1, 63, 64, 84, 85, 86, 127, 128, 254, 255, 256, 257, 70_000)
    for text in ("a", "\x00", "é", "€", "😀")
]
BYTES = [b"\x94." * length for length in (0, 1, 127, 128, 40_000)]


class Number(int):
    pass


class Text(str):
    __slots__ = ()


class Colour(enum.IntEnum):
    RED = 1


def kinds(values):
    return [type(value) for value in values]


@pytest.mark.parametrize(
    "values",
    [
        [None, True, False],
        INTS,
        FLOATS,
        TEXTS,
        ["\ud800", "a\udfff" * 100],
        BYTES,
        [Number(7), Text("seven"), Colour.RED],
    ],
    ids=["singletons", "ints", "floats", "texts", "surrogates", "bytes", "subclasses"],
)
def test_a_plain_object_arrives_as_it_was(echo, values):
    futures = [echo.post(value) for value in values]
    answers = [future.result(PATIENCE) for future in futures]
    assert kinds(answers) == kinds(values)
    # 0.0 equals -0.0.
    assert list(map(repr, answers)) == list(map(repr, values))


def test_nan_arrives_as_nan(echo):
    assert math.isnan(echo.post(math.nan).result(PATIENCE))
