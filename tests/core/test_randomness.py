"""The same address gives the same numbers in every process."""

import os
import subprocess
import sys

from tfm.core.randomness import generator_at, seed_at


def test_an_address_gives_the_same_seed_in_another_process():
    code = "from tfm.core.randomness import seed_at; print(seed_at(7, 'order', 3))"
    environment = os.environ | {"PYTHONHASHSEED": "5"}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert int(other.stdout) == seed_at(7, "order", 3)


def test_different_addresses_give_different_seeds():
    addresses = [(7, "order", 3), (7, "order", 4), ("7", "order", 3), (8, "order", 3)]
    assert len({seed_at(*address) for address in addresses}) == 4


def test_a_generator_repeats_its_numbers():
    assert generator_at(7, "a").random() == generator_at(7, "a").random()
