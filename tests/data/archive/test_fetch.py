"""Fetching from a real S3 server on the loopback, with everything that goes wrong on a line."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.archive.archive import Archive, Gateway, open_archive, open_gateway
from tests.data.phantoms import read_tree
from tfm.core.errors import DataError, HaltedError
from tfm.core.events import Event, Progress
from tfm.data.archive.fetch import PARTIAL, Download, fetch, list_absent
from tfm.data.archive.index import read_series
from tfm.data.archive.server import Server


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with open_archive(tmp_path_factory.mktemp("archive"), train_women=1, test_women=1) as archive:
        yield archive


@pytest.fixture
def gateway(archive: Archive) -> Iterator[Gateway]:
    with open_gateway(archive.endpoint) as gateway:
        yield gateway


@pytest.fixture
def work(archive: Archive, tmp_path: Path) -> Download:
    return Download("cbis-ddsm", tmp_path, read_series(archive.index, "cbis-ddsm"))


def make_server(gateway: Gateway, work: Download, timeout: int = 30) -> Server:
    return Server(gateway.address, work.series, connections=4, timeout=timeout)


def fetch_all(work: Download, gateway: Gateway) -> list[Event]:
    return list(fetch(work, make_server(gateway, work)))


def images(folder: Path) -> dict[str, bytes]:
    """The images of a download by NBIA's folder. Which file of a series is the first is arbitrary at NBIA."""
    tree = {path: content for path, content in read_tree(folder).items() if path.endswith(".dcm")}
    series: dict[str, list[bytes]] = {}
    for path, content in tree.items():
        series.setdefault(path[path.index("CBIS-DDSM") :].rpartition("/")[0], []).append(content)
    return {f"{folder} {place}": one for folder, files in series.items() for place, one in enumerate(sorted(files))}


def stop_in_the_middle(events: Iterator[Event], gateway: Gateway) -> None:
    for _ in events:
        if gateway.sent.total() > 100_000:
            gateway.is_flowing.clear()


def test_the_folder_is_that_of_nbia(archive, work, gateway):
    fetch_all(work, gateway)
    assert images(work.root) == images(archive.original)
    assert {path.name for path in work.root.rglob("*.dcm")} == {"1-1.dcm", "1-2.dcm"}
    assert sum(gateway.sent.values()) == sum(one.size for one in work.series)
    assert not (work.root / PARTIAL).exists()


def test_series_of_cmmd_have_the_folders_that_nbia_gives_them(work, gateway):
    patient = replace(work.series[0], subject="D1-0001", description="")
    cmmd = Download("cmmd", work.root, [patient])
    fetch_all(cmmd, gateway)
    (file,) = work.root.rglob("*.dcm")
    tails = patient.study[-5:], patient.uid[-5:]
    assert str(file.relative_to(work.root)) == "CMMD/D1-0001/01-01-2020-NA-NA-{}/1.000000-NA-{}/1-1.dcm".format(*tails)


def test_what_is_complete_is_not_fetched_again(work, gateway):
    fetch_all(work, gateway)
    gateway.sent.clear()
    fetch_all(work, gateway)
    assert not gateway.sent
    assert not list_absent(work)


@pytest.mark.parametrize("fault", ["cut", pytest.param("wrong", marks=pytest.mark.long)])
def test_a_damaged_file_is_fetched_again(archive, work, gateway, fault):
    gateway.faults[work.series[3].key] = (fault, 2)
    fetch_all(work, gateway)
    assert images(work.root) == images(archive.original)
    assert not work.reasons


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param("cut", "EOF", marks=pytest.mark.long),
        pytest.param("short", "the index says", marks=pytest.mark.long),
        ("wrong", "not a readable DICOM"),
        pytest.param(403, "status code: 403", marks=pytest.mark.long),
    ],
)
def test_a_file_that_stays_damaged_is_named_with_the_reason(work, gateway, fault, reason):
    broken = work.series[0]
    gateway.faults[f"{broken.key}/"] = (fault, 0)
    fetch_all(work, gateway)
    assert [*work.reasons] == [broken.uid]
    assert reason in work.reasons[broken.uid]
    assert list_absent(work) == [broken]
    assert not work.locate(broken).exists()


@pytest.mark.long
def test_a_file_of_another_series_is_not_taken(archive, work, gateway):
    """The bucket holds under one address what the index promises under another."""
    mask, other = [one for one in work.series if one.files == 2][:2]
    work.series = [replace(mask, key=other.key, size=other.size)]
    fetch_all(work, gateway)
    assert "belongs to another series" in work.reasons[mask.uid]


@pytest.mark.long
def test_an_object_that_the_bucket_lacks_is_named(work, gateway):
    lost = replace(work.series[0], key="no-such-key")
    work.series = [lost, *work.series[1:]]
    fetch_all(work, gateway)
    assert work.reasons == {lost.uid: "no object found"}


def test_a_damaged_file_on_disk_is_replaced(archive, work, gateway):
    fetch_all(work, gateway)
    gateway.sent.clear()
    damaged = next(work.locate(work.series[0]).glob("*.dcm"))
    damaged.write_bytes(bytes(damaged.stat().st_size))  # the right size
    fetch_all(work, gateway)
    assert images(work.root) == images(archive.original)
    assert all(work.series[0].key in address for address in gateway.sent)


def test_a_disk_that_is_full_in_the_middle_is_told(archive, work, gateway, small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 200_000))
    work.root = small_disk
    with pytest.raises(OSError, match="No space left"):
        fetch_all(work, gateway)
    filler.unlink()
    fetch_all(work, gateway)
    assert not work.reasons
    assert images(small_disk) == images(archive.original)


@pytest.mark.long
def test_a_server_that_stops_halts_the_download_and_it_resumes(archive, work, gateway):
    gateway.delay = 0.002
    events = fetch(work, make_server(gateway, work, timeout=1))
    with pytest.raises(HaltedError, match="has sent nothing for 1 seconds"):
        stop_in_the_middle(events, gateway)
    gateway.is_flowing.set()
    gateway.delay = 0
    fetch_all(work, gateway)
    assert images(work.root) == images(archive.original)


def test_a_server_that_is_gone_is_noticed_at_once(work, tmp_path):
    gone = Server("http://127.0.0.1:9", work.series, connections=4, timeout=30)
    with pytest.raises(HaltedError, match=r"127\.0\.0\.1:9 cannot be reached: .*refused"):
        gone.check_connection()


def test_a_server_that_dies_halts_the_download(work, gateway):
    events = fetch(work, make_server(gateway, work))
    next(event for event in events if isinstance(event, Progress) and event.name == "data")
    gateway.faults[""] = ("gone", 0)
    with pytest.raises(HaltedError, match="cannot be reached"):
        list(events)


@pytest.mark.parametrize(("status", "words"), [(403, "lets nobody read"), (404, "has no bucket")])
def test_a_bucket_that_has_moved_is_told_with_other_servers(work, gateway, status, words):
    gateway.faults["list-type"] = (status, 0)
    with pytest.raises(DataError, match=words) as caught:
        make_server(gateway, work).check_connection()
    assert "storage.googleapis.com" in caught.value.hint


def test_a_page_of_a_proxy_is_no_bucket(work, gateway):
    gateway.faults["list-type"] = ("wrong", 0)
    with pytest.raises(DataError, match="has none of these series"):
        make_server(gateway, work).check_connection()


def test_files_of_a_killed_process_are_taken_over(archive, work, gateway):
    """A process that was killed has left a complete file and one that s5cmd was still writing."""
    pair = next(one for one in work.series if one.files == 2)
    fetch_all(work, gateway)
    left = work.root / PARTIAL / "1" / pair.key
    left.mkdir(parents=True)
    complete, _ = sorted(work.locate(pair).glob("*.dcm"))
    name = next(address for address in gateway.sent if pair.key in address).rpartition("/")[2]
    sizes = {address: size for address, size in gateway.sent.items() if pair.key in address}
    mine = next(address for address, size in sizes.items() if size == complete.stat().st_size).rpartition("/")[2]
    complete.rename(left / mine)
    (left / f"{name}123").write_bytes(b"half")
    shutil.rmtree(work.locate(pair))
    gateway.sent.clear()
    fetch_all(work, gateway)
    assert images(work.root) == images(archive.original)
    assert len(gateway.sent) == 1
