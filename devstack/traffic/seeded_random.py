"""Random choices that are the same on every Python version and in every process."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class SeededRandom:
    """A seeded source of choices.

    Python promises a stable sequence for `Random.random()` only; `choice`, `sample` and `shuffle` have changed
    between versions. So this class uses only `random()` and `getrandbits()`.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - test data, not secrets

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random.random() < probability

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit)."""
        return int(self._random.random() * limit)

    def between(self, low: int, high: int) -> int:
        """Return an integer in [low, high]."""
        return low + self.below(high - low + 1)

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()

    def pick(self, options: Sequence[T]) -> T:
        """Return one of `options`, all equally likely."""
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[tuple[int, T]]) -> T:
        """Return one of `options`, given as (percent, option); the percents add up to 100."""
        left = self.below(100)
        for percent, option in options:
            if left < percent:
                return option
            left -= percent
        raise ValueError("the percents do not add up to 100")

    def hex(self, length: int) -> str:
        """Return `length` lower-case hexadecimal digits."""
        return f"{self._random.getrandbits(4 * length):0{length}x}"

    def digits(self, length: int) -> str:
        """Return `length` decimal digits, the first of which is not zero."""
        return str(self.between(1, 9)) + "".join(str(self.below(10)) for _ in range(length - 1))

    def token(self, length: int) -> str:
        """Return `length` letters and digits, as in Auth0's client and connection ids."""
        bits = self._random.getrandbits(32 * length)
        return "".join(_ALPHANUMERIC[(bits >> (32 * i) & 0xFFFFFFFF) % 62] for i in range(length))
