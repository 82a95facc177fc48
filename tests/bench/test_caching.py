"""Speed of two cache workers against two programs that only run the chain, and the peak memory of a worker."""

import multiprocessing
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.bench.rows import report
from tests.data.caches import FAST
from tfm.core.events import Progress
from tfm.core.settings.resolve import resolve
from tfm.data.cache.build import build_cache
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.settings import ChainSettings

pytestmark = pytest.mark.alone

PROJECT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 4000, 3000
FILMS, DRAWN, WARM_UP, ROUNDS = 48, 12, 6, 3
CHAIN = resolve(ChainSettings, FAST, {})
ALONE = """
import sys, time
from pathlib import Path
import cv2
from tests.data.caches import FAST
from tfm.core.settings.resolve import resolve
from tfm.imaging.chain import preprocess_image
from tfm.imaging.settings import ChainSettings
cv2.setNumThreads(1)
chain = resolve(ChainSettings, FAST, {})
warm_up, *films = [Path(name) for name in sys.argv[1:]]
preprocess_image(warm_up, None, chain)
print("ready", flush=True)
sys.stdin.readline()
for film in films:
    preprocess_image(film, None, chain)
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """As large and as noisy as real ones."""
    folder = tmp_path_factory.mktemp("films")
    generator = np.random.default_rng(3)
    breast = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.ellipse(breast, (0, HEIGHT // 2), (2000, 1700), 0, 0, 360, 1, -1)
    breast = cv2.GaussianBlur(breast, (0, 0), 20)
    rows = []
    for number in range(DRAWN):
        noise = cv2.resize(generator.random((500, 375), dtype=np.float32), (WIDTH, HEIGHT))
        grain = generator.integers(0, 400, (HEIGHT, WIDTH), dtype=np.uint16)
        pixels = (breast * (20000 + 25000 * noise)).astype(np.uint16) + grain
        cv2.imwrite(str(folder / f"{number}.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    for number in range(FILMS):
        name = f"P_{number:05d}_LEFT_CC"
        rows.append({"image_id": name, "sop_uid": f"1.{number}", "file": f"{number % DRAWN}.png", "mask": ""})
    return Dataset(folder, pd.DataFrame(rows), "", "", "", True)


def measure_programs(films: Dataset) -> float:
    """Films per second."""
    paths = [str(films.path(name)) for name in films.manifest["file"]]
    shares = [paths[0::2], paths[1::2]]
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", ALONE, share[-1], *share],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    start = time.perf_counter()
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "done\n"
    seconds = time.perf_counter() - start
    for program in programs:
        program.communicate()
    return FILMS / seconds


def measure_workers(films: Dataset, folder: Path) -> tuple[float, float]:
    """Films per second after the warm-up, and the peak memory of a worker in MiB."""
    folder.mkdir()
    mebibytes, start, end = 0.0, 0.0, 0.0
    for event in build_cache(folder, films, CHAIN, version=1, workers=2):
        if not isinstance(event, Progress) or event.name != "images":
            continue
        done, total = event.done, event.total
        start = time.perf_counter() if done == WARM_UP else start
        if done == total - 1:
            mebibytes = max(read_peak_memory(child.pid) for child in multiprocessing.active_children())
        if done == total and not end:
            end = time.perf_counter()
    return (FILMS - WARM_UP) / (end - start), mebibytes


def read_peak_memory(pid: int | None) -> float:
    """Resident memory, with mapped files and shared libraries."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0


@pytest.mark.long
def test_two_workers_are_as_fast_as_two_programs_and_small(films: Dataset, tmp_path: Path) -> None:
    programs, workers, mebibytes = [], [], 0.0
    for number in range(ROUNDS):
        programs.append(measure_programs(films))
        rate, memory = measure_workers(films, tmp_path / str(number))
        workers.append(rate)
        mebibytes = max(mebibytes, memory)
    report("preprocess with two workers, against two programs", 1 / max(workers), floor=1 / max(programs), at_least=0.9)
    report("memory of a worker", mebibytes, unit="MiB", at_most=600)
