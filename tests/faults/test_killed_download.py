"""A download killed with SIGKILL five times fetches no file twice, and ends like an undisturbed one."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.data.archive.archive import open_archive, open_gateway
from tests.data.phantoms import read_tree
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace

pytestmark = pytest.mark.long

KILLS = 5
CONNECTIONS = 4


def begin(workspace: Workspace, endpoint: str, folder: Path) -> tuple[Run, subprocess.Popen]:
    settings = {"folder": folder, "endpoint": endpoint, "connections": CONNECTIONS}
    run = find_or_create_job(workspace, "download", settings)
    started = ThisMachine().submit(run)
    assert started.process is not None
    return run, started.process


@pytest.mark.parametrize("seed", range(3))
def test_every_byte_is_fetched_at_most_1_1_times(workspace, tmp_path, monkeypatch, seed, record_property):
    drawn = random.Random(seed)
    with open_archive(tmp_path, train_women=70, test_women=30) as archive, open_gateway(archive.endpoint) as gateway:
        monkeypatch.setenv("PYTHONPATH", str(archive.packages))
        monkeypatch.syspath_prepend(archive.packages)
        for name in ("killed", "undisturbed"):
            (tmp_path / name / "cbis-ddsm").mkdir(parents=True)
            for table in archive.original.rglob("*_case_description_*.csv"):
                shutil.copy(table, tmp_path / name / "cbis-ddsm")
        size = sum(round(row["series_size_MB"] * 1e6) for row in archive.rows)
        for share in sorted(drawn.uniform(0, 0.95) for _ in range(KILLS)):
            run, process = begin(workspace, gateway.address, tmp_path / "killed")
            gateway.wait_until_sent(max(round(share * size), gateway.sent.total() + 1))
            process.kill()
            process.wait()
        run, process = begin(workspace, gateway.address, tmp_path / "killed")
        process.wait(timeout=300)
        assert run.read_status().state == "done", run.read_status()
        times = gateway.sent.total() / size
        record_property("bytes fetched / bytes", f"{times:.3f}")
        assert times <= 1.1
        _, process = begin(workspace, gateway.address, tmp_path / "undisturbed")
        process.wait(timeout=300)
    assert read_tree(tmp_path / "killed") == read_tree(tmp_path / "undisturbed")
