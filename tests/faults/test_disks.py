"""A disk that loses its power loses what was not synced. Otherwise its trials prove nothing."""

import os

import pytest

from tests.faults.disks import PowerlessDisk, cut_power


@pytest.mark.parametrize("journal_seconds", [1, 300])
def test_disk_without_power_loses_what_was_not_synced(tmp_path, journal_seconds):
    disk = PowerlessDisk(tmp_path / "disk", megabytes=8)
    disk.mount(journal_seconds)
    try:
        (disk.folder / "plain").write_bytes(b"plain")
        with open(disk.folder / "synced", "wb") as file:
            file.write(b"synced")
            file.flush()
            os.fsync(file.fileno())
        (disk.folder / "late").write_bytes(b"late")
        cut_power(disk.folder)
        disk.restore_power()
        kept = {path.name: path.read_bytes() for path in disk.folder.iterdir() if path.is_file()}
        assert kept.pop("synced") == b"synced"
        assert not any(kept.values())
    finally:
        disk.remove()
