"""Time to download with our checks, as a ratio to s5cmd alone, from the same S3 server on the loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.data.archive.archive import upload_series, write_index
from tfm.data.archive.fetch import Download, fetch
from tfm.data.archive.index import Series, read_series
from tfm.data.archive.s5cmd import find_s5cmd
from tfm.data.archive.server import Server
from tfm.data.phantom.dicom import Header, build_dataset, encode, make_uid

pytestmark = [pytest.mark.alone, pytest.mark.long]

CONNECTIONS = 8
SERIES, ROUNDS = 60, 7
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


def time_s5cmd(series: list[Series], folder: Path, address: str) -> float:
    folder.mkdir()
    commands = folder / "commands.txt"
    commands.write_text("".join(f"cp {one.address}* {folder / one.key}/\n" for one in series))
    options = ["--no-sign-request", "--endpoint-url", address, "--numworkers", str(CONNECTIONS)]
    start = time.perf_counter()
    subprocess.run([find_s5cmd(), *options, "run", str(commands)], check=True, capture_output=True)
    return time.perf_counter() - start


def time_download(series: list[Series], folder: Path, address: str) -> float:
    work = Download("cbis-ddsm", folder, series)
    start = time.perf_counter()
    for _ in fetch(work, Server(address, series, CONNECTIONS, timeout=60)):
        pass
    assert not work.reasons
    return time.perf_counter() - start


def test_checks_cost_at_most_five_percent(
    tmp_path: Path, server_address: str, record_property: Callable[[str, object], None]
) -> None:
    write_series(tmp_path / "original")
    index = write_index(tmp_path / "index", upload_series(server_address, tmp_path / "original"))
    series = read_series(index, "cbis-ddsm")
    alone, checked = [], []
    for number in range(ROUNDS):
        alone.append(time_s5cmd(series, tmp_path / f"alone-{number}", server_address))
        checked.append(time_download(series, tmp_path / f"checked-{number}", server_address))
    ratio = min(checked) / min(alone)  # both wait for the server, whose time varies more than the checks take
    record_property("download / s5cmd alone", f"{ratio:.3f}")
    assert ratio <= 1.05
