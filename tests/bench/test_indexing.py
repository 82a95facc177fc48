"""CPU time to index a download of 6775 series, as ratios to a plain read and a plain walk of the same files."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.rows import find_best, report
from tests.training.small_dataset import finish_run
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import Workspace

pytestmark = [pytest.mark.alone, pytest.mark.long]

PROJECT = Path(__file__).resolve().parents[2]
INDEXING = """
import re, sys, time
from pathlib import Path
from tfm.data.download.find_files import scan_folders
from tfm.data.download.header_index import read_headers
start = time.process_time()
count = sum(1 for _ in read_headers(scan_folders([Path(sys.argv[1])]).images, Path(sys.argv[2])))
seconds = time.process_time() - start
status = Path("/proc/self/status")  # getrusage would count the parent's memory, from before this program began
peak = re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1] if status.exists() else 0
print(count, seconds, int(peak) / 1024)
"""


def time_indexing(official_tree: Path, index: Path) -> tuple[int, float, float]:
    """Return the number of files, the seconds and the peak memory in MiB."""
    command = [sys.executable, "-c", INDEXING, str(official_tree), str(index)]
    output = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, text=True).stdout.split()
    return int(output[0]), float(output[1]), float(output[2])


def time_reading_4_kib_of_each_file(official_tree: Path) -> float:
    start = time.process_time()
    for folder, _, names in os.walk(official_tree):
        for name in names:
            with open(f"{folder}/{name}", "rb", buffering=0) as file:
                file.read(4096)
    return time.process_time() - start


def time_stat_of_each_file(official_tree: Path) -> float:
    start = time.process_time()
    for folder, _, names in os.walk(official_tree):
        for name in names:
            os.stat(f"{folder}/{name}")  # noqa: PTH116 (the floor: no object made)
    return time.process_time() - start


def test_first_at_most_ten_times_a_read_then_at_most_twice_a_walk(official_tree: Path, tmp_path: Path) -> None:
    firsts, agains, mebibytes = [], [], 0.0
    for number in range(3):
        index = tmp_path / f"{number}.sqlite"
        floor = time_reading_4_kib_of_each_file(official_tree)
        count, seconds, memory = time_indexing(official_tree, index)
        assert count == 10239
        firsts.append((seconds, floor))
        floor = time_stat_of_each_file(official_tree)
        agains.append((time_indexing(official_tree, index)[1], floor))
        mebibytes = max(mebibytes, memory)
    first, reading = find_best(firsts)
    again, walking = find_best(agains)
    report("index of 10,239 files, against reading 4 KiB of each", first, floor=reading, at_most=10)
    report("index again, against a walk", again, floor=walking, at_most=2)
    report("memory of indexing", mebibytes, unit="MiB", at_most=500)


def test_whole_collection_is_organized_within_half_a_minute(official_tree: Path, workspace: Workspace) -> None:
    run = find_or_create_job(workspace, "organize", {"download": [str(official_tree)], "split": "kfold"})
    begun = time.process_time()
    finish_run(run)
    report("organize 10,239 files, CPU", time.process_time() - begun, at_most=30)
    begun = time.process_time()
    same = find_or_create_job(workspace, "organize", {"download": [str(official_tree)], "split": "kfold"})
    assert same.id == run.id
    report("find that 10,239 files are organized, CPU", time.process_time() - begun, at_most=10)
