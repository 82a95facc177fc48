"""What a generator returns, once all that it yields was taken."""

from collections.abc import Generator
from typing import Any, TypeVar

R = TypeVar("R")


def returned(generator: Generator[Any, Any, R]) -> R:
    while True:
        try:
            next(generator)
        except StopIteration as end:
            value: R = end.value
            return value
