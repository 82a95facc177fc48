"""Private memory of a training: images stay in the cache, whose memory the system can reclaim."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

MEASURED = """
import re, sys
from pathlib import Path
import numpy as np, pandas as pd, torch
from tests.training.small_training import train_to_end, build_training
from tfm.core.settings.resolve import resolve
from tfm.data.cache.cache import Cache
from tfm.commands.train import Train
from tfm.training.inputs.samples import IDENTITY, Samples

def private():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

torch.set_num_threads(1)
folder, count, side = Path(sys.argv[1]), int(sys.argv[2]), 512
arrays = {}
for name in ("images", "breast", "lesions"):
    made = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (count, side, side))
    made[:, ::2] = 1 + np.arange(count, dtype=np.uint8)[:, None, None]
    made.flush()
    arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
cache = Cache(folder, pd.DataFrame(), *arrays.values())
settings = resolve(Train, {}, {
    "dataset": "d", "cache": "c", "architecture": "test_resnet", "epochs": 1, "batch_size": 8, "augment": False
})
def make_samples(first, count):
    positions = np.arange(first, first + count)
    table = pd.DataFrame({name: positions.astype(str) for name in IDENTITY}).assign(label=positions % 2)
    return Samples(table, positions)
# The first training loads libraries and allocates a batch.
train_to_end(build_training(settings, cache, make_samples(0, 16), make_samples(0, 16)), folder)
(folder / "last.pt").unlink()
before = private()
train_to_end(build_training(settings, cache, make_samples(0, count), make_samples(0, 16)), folder)
print(private() - before)
"""


def measure_growth(folder: Path, images: int) -> int:
    folder.mkdir()
    command = [sys.executable, "-c", MEASURED, str(folder), str(images)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory goes back to the system at once
    process = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return int(process.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells a process's own memory")
@pytest.mark.long
def test_private_memory_does_not_grow_with_the_number_of_images(tmp_path):
    few, many = (measure_growth(tmp_path / str(count), count) for count in (32, 128))
    images = 96 * 512 * 512  # bytes that are added
    assert many - few < images / 2
