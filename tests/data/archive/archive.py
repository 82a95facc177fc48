"""A public archive on the loopback: phantom series in a real S3 server under addresses like those of the real index,
a small index of them, and a gateway before the server that counts bytes and causes trouble."""

import contextlib
import http.client
import http.server
import logging
import threading
import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
from moto.server import ThreadedMotoServer

from tests.data.phantoms import phantom_download
from tfm.data.archive.index import find_index

BUCKET = "idc-open-data"
_BLOCK = 16384


@dataclass
class Gateway:
    """Forwards requests to the S3 server.

    Attributes:
        sent: Bytes of objects that were sent, by address.
        faults: What happens to the objects of a series, by a part of their address: a status code, "cut" (half of the
            object, then the connection ends), "wrong" (other bytes of the same length), "short" (a whole answer that is
            shorter) or "gone" (the connection ends). The number says how often; 0 is always.
        delay: Seconds between two blocks.
        is_flowing: Clear it, and the server sends nothing any more, but keeps the connections.
    """

    origin: str
    address: str = ""
    sent: Counter[str] = field(default_factory=Counter)
    faults: dict[str, tuple[int | str, int]] = field(default_factory=dict)
    delay: float = 0.0
    is_flowing: threading.Event = field(default_factory=threading.Event)
    is_watched: threading.Condition = field(default_factory=threading.Condition)

    def take_fault(self, path: str) -> int | str:
        for part, (fault, times) in list(self.faults.items()):
            if part in path:
                if times == 1:
                    del self.faults[part]
                else:
                    self.faults[part] = (fault, max(times - 1, 0))
                return fault
        return ""

    def count(self, path: str, size: int) -> None:
        with self.is_watched:
            self.sent[path] += size
            self.is_watched.notify_all()

    def wait_until_sent(self, size: int) -> None:
        """Wait until so many bytes of objects were sent in all."""
        with self.is_watched:
            assert self.is_watched.wait_for(lambda: self.sent.total() >= size, timeout=60)


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    gateway: Gateway


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_HEAD(self) -> None:
        self._forward("")

    def do_GET(self) -> None:
        fault = self.server.gateway.take_fault(self.path)
        if isinstance(fault, int):
            self.send_error(fault)
        elif fault == "gone":
            self.close_connection = True
        else:
            self._forward(fault)

    def _forward(self, fault: str) -> None:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.server.gateway.origin).netloc)
        connection.request(self.command, self.path, headers={"Range": self.headers.get("Range", "")})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        content = {"short": content[:-100], "wrong": content[::-1]}.get(fault, content)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        with contextlib.suppress(OSError):
            self._send(content[: len(content) // 2] if fault == "cut" else content)
        self.close_connection |= fault == "cut"

    def _send(self, content: bytes) -> None:
        gateway, is_object = self.server.gateway, "list-type" not in self.path
        for start in range(0, len(content) if self.command == "GET" else 0, _BLOCK):
            block = content[start : start + _BLOCK]
            if is_object:
                gateway.is_flowing.wait()
            self.wfile.write(block)
            if is_object:
                gateway.count(self.path, len(block))
                time.sleep(gateway.delay)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def open_gateway(origin: str) -> Iterator[Gateway]:
    gateway = Gateway(origin)
    gateway.is_flowing.set()
    listener = _Listener(("127.0.0.1", 0), _Handler)
    listener.gateway = gateway
    gateway.address = f"http://127.0.0.1:{listener.server_port}"
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield gateway
    finally:
        gateway.is_flowing.set()
        listener.shutdown()
        listener.server_close()


@dataclass(frozen=True)
class Archive:
    """`packages` is a folder for the Python path: it holds the index as the package idc_index_data."""

    endpoint: str
    packages: Path
    original: Path  # the phantom download in NBIA's layout, with the case CSVs
    rows: list[dict[str, Any]]  # of the index
    keys: Mapping[str, str]  # subject → folder in the bucket

    @property
    def index(self) -> Path:
        return self.packages / "idc_index_data" / "idc_index.parquet"


@contextlib.contextmanager
def open_archive(folder: Path, train_women: int = 3, test_women: int = 2, **phantom: Any) -> Iterator[Archive]:
    """Write a phantom download and offer it like the Imaging Data Commons."""
    phantom_download(folder / "original", train_women, test_women, **phantom)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        rows = upload_series(endpoint, folder / "original")
        write_index(folder / "packages" / "idc_index_data", rows)
        keys = {row["PatientID"]: row["crdc_series_uuid"] for row in rows}
        yield Archive(endpoint, folder / "packages", folder / "original", rows, keys)
    finally:
        server.stop()


def upload_series(endpoint: str, original: Path) -> list[dict[str, Any]]:
    client = boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="-", aws_secret_access_key="-", region_name="us-east-1"
    )
    client.create_bucket(Bucket=BUCKET, ACL="public-read")
    return [_upload(client, folder) for folder in sorted({path.parent for path in original.rglob("*.dcm")})]


def _upload(client: Any, folder: Path) -> dict[str, Any]:
    files = sorted(folder.glob("*.dcm"))
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    key = str(uuid.uuid5(uuid.NAMESPACE_OID, header.SeriesInstanceUID))
    for file in files:
        name = uuid.uuid5(uuid.NAMESPACE_OID, f"{header.SeriesInstanceUID}/{file.name}")
        client.put_object(Bucket=BUCKET, Key=f"{key}/{name}.dcm", Body=file.read_bytes(), ACL="public-read")
    return {
        "collection_id": "cbis_ddsm",
        "PatientID": str(header.PatientID),
        "SeriesInstanceUID": header.SeriesInstanceUID,
        "StudyInstanceUID": header.StudyInstanceUID,
        "StudyDate": f"{header.StudyDate[:4]}-{header.StudyDate[4:6]}-{header.StudyDate[6:]}",
        "SeriesDescription": header.SeriesDescription,
        "SeriesNumber": "1",
        "Modality": "MG",
        "SOPClassUID": header.SOPClassUID,
        "sop_class_name": "Secondary Capture Image Storage",
        "instanceCount": len(files),
        "series_size_MB": sum(file.stat().st_size for file in files) / 1e6,
        "aws_bucket": BUCKET,
        "crdc_series_uuid": key,
    }


def write_index(package: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as the package of the index, beside the real table of collections."""
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    real = find_index()
    pq.write_table(pa.Table.from_pylist(rows), package / "idc_index.parquet")
    (package / "collections_index.parquet").write_bytes(real.with_name("collections_index.parquet").read_bytes())
    return package / "idc_index.parquet"
