"""Time to download with our checks, as a ratio to s5cmd alone, from the same S3 server on the loopback.

The best of several pairs would be one in which something else slowed s5cmd alone, so the median counts.
"""

import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bench.rows import report
from tests.data.archive.archive import upload_series, write_index
from tfm.data.archive import selection
from tfm.data.archive.fetch import Download, fetch
from tfm.data.archive.index import Series, find_index, read_series
from tfm.data.archive.s5cmd import find_s5cmd
from tfm.data.archive.server import Server
from tfm.data.phantom.dicom import Header, build_dataset, encode, make_uid

pytestmark = [pytest.mark.alone, pytest.mark.long]

CONNECTIONS = 8
SERIES = 60
PIXELS = np.zeros((3000, 2000), np.uint16)  # 12 MB: a small mammogram of CBIS-DDSM


@pytest.fixture
def server_address() -> Iterator[str]:
    """A server in a process of its own: in ours it would wait for our checks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "Running on" in line)
        process.stderr.close()
        yield f"http://127.0.0.1:{port}"
        process.kill()


def write_series(folder: Path) -> None:
    for number in range(SERIES):
        series = folder / str(number)
        series.mkdir(parents=True)
        subject, uid = f"Mass-Training_P_{number:05}_LEFT_CC", make_uid("bench", number)
        header = Header(subject, uid, uid, uid, "full mammogram images", "LEFT", "CC")
        (series / "1-1.dcm").write_bytes(encode(build_dataset(header, PIXELS)))


def copy_alone(series: list[Series], folder: Path, address: str) -> None:
    folder.mkdir()
    commands = folder / "commands.txt"
    commands.write_text("".join(f"cp {one.address}* {folder / one.key}/\n" for one in series))
    options = ["--no-sign-request", "--endpoint-url", address, "--numworkers", str(CONNECTIONS)]
    subprocess.run([find_s5cmd(), *options, "run", str(commands)], check=True, capture_output=True)


def download(series: list[Series], folder: Path, address: str) -> None:
    work = Download("cbis-ddsm", folder, series)
    for _ in fetch(work, Server(address, series, CONNECTIONS, timeout=60)):
        pass
    assert not work.reasons


def measure(work: Callable[[], None]) -> tuple[float, float]:
    """Return seconds, and seconds of CPU with those of s5cmd."""
    begun, before = time.perf_counter(), read_cpu_seconds()
    work()
    return time.perf_counter() - begun, read_cpu_seconds() - before


def read_cpu_seconds() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def test_checks_cost_at_most_five_percent(tmp_path: Path, server_address: str) -> None:
    write_series(tmp_path / "original")
    index = write_index(tmp_path / "index", upload_series(server_address, tmp_path / "original"))
    series = read_series(index, "cbis-ddsm")
    pairs = []
    for number in range(7):
        alone = measure(lambda: copy_alone(series, tmp_path / f"alone-{number}", server_address))  # noqa: B023
        checked = measure(lambda: download(series, tmp_path / f"checked-{number}", server_address))  # noqa: B023
        pairs.append((*checked, *alone))
    ours, cpu, floor, cpu_floor = (statistics.median(values) for values in zip(*pairs, strict=True))
    report("download with checks against s5cmd alone, CPU", cpu, floor=cpu_floor)
    report("download with checks against s5cmd alone", ours, floor=floor, at_most=1.05)


def test_a_selection_is_sized_in_one_and_a_half_seconds() -> None:
    start = time.process_time()
    found = read_series(find_index(), "cbis-ddsm")
    masses = selection.select_parts(found, ["mass train", "mass test"], with_masks=False)
    assert sum(one.size for one in masses) > 50e9
    report("select and size a part of CBIS-DDSM", time.process_time() - start, unit="s of CPU", at_most=1.5)
