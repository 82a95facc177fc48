"""Records from the values of a file that anybody may have written: each value has the type that its field says."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, FiniteFloat, TypeAdapter

T = TypeVar("T")


def _check_time(text: str) -> str:
    if text:
        datetime.fromisoformat(text).astimezone()  # fails for the first and last years of the calendar
    return text


TimeText = Annotated[str, AfterValidator(_check_time)]  # as isoformat writes it, or empty
Seconds = FiniteFloat


def build_record(kind: type[T], values: Any) -> T:
    """Build a dataclass. Raises ValueError if a value is missing or has another type."""
    try:
        record: T = _make_adapter(kind).validate_python(values)  # type: ignore[arg-type]  # a class has a hash
    except OverflowError as error:
        raise ValueError(str(error)) from None
    return record


@functools.cache
def _make_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
