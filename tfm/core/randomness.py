"""Random numbers by address: the same address gives the same numbers, whatever was drawn before."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def seed_at(*address: str | int) -> int:
    """A 64-bit seed for an address such as `(7, "order", epoch)`. Text and numbers differ: 1 is not "1"."""
    text = json.dumps(address, ensure_ascii=False)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def generator_at(*address: str | int) -> np.random.Generator:
    import numpy as np

    return np.random.Generator(np.random.PCG64(seed_at(*address)))
