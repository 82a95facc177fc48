"""Training takes no more memory of its own for more images: they stay in the cache, which the system may take back."""

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
from tfm.training.inputs.samples import Rows

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
def rows(first, count):
    positions = np.arange(first, first + count)
    return Rows(pd.DataFrame({"label": positions % 2, "patient_id": positions}), positions)
train_to_end(build_training(settings, cache, rows(0, 16), rows(0, 16)), folder)  # libraries, and a batch's own
(folder / "last.pt").unlink()
before = private()
train_to_end(build_training(settings, cache, rows(0, count), rows(0, 16)), folder)
print(private() - before)
"""


def grown(folder: Path, images: int) -> int:
    folder.mkdir()
    words = [sys.executable, "-c", MEASURED, str(folder), str(images)]
    at_once = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back to the system
    told = subprocess.run(words, cwd=PROJECT, env=at_once, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return int(told.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells a process's own memory")
@pytest.mark.long
def test_four_times_the_images_take_no_more_memory_of_ones_own(tmp_path):
    few, many = (grown(tmp_path / str(count), count) for count in (32, 128))
    images = 96 * 512 * 512  # bytes that are added
    assert many - few < images / 2
