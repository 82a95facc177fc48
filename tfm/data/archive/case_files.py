"""The tables that label the images of a collection: the case CSVs of CBIS-DDSM, the clinical spreadsheet of CMMD.
They are on TCIA's pages, not in the bucket."""

from __future__ import annotations

import hashlib
import http.client
import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tfm.core import files, hints
from tfm.core.errors import DataError
from tfm.core.events import Note

_TIMEOUT = 20.0  # seconds
_HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; TFM)"}  # TCIA's pages refuse a client without a usual name
_NOT_PINNED = ""  # TCIA may revise this file: only its format is checked

# File name → SHA-256 of the official file.
CASE_FILES: dict[str, dict[str, str]] = {
    "cbis-ddsm": {
        "mass_case_description_train_set.csv": "a4bcc1c32bfd040212737e6e8c304819334abe717cfefff56431dc50ae6db723",
        "mass_case_description_test_set.csv": "60f0b4504ec024106bbdd1555030d220163ea9da0ea4688473a4c9c3e8ab0457",
        "calc_case_description_train_set.csv": "3c7b07e8202f66709f446b9695e96c5d17484a65fda6a24d0170a0c1b81d56e3",
        "calc_case_description_test_set.csv": "03a2f72efb6ed29f417e07f4598950e6a1e02e6b11250ff516ebe7924ace3689",
    },
    "cmmd": {"CMMD_clinicaldata_revision.xlsx": _NOT_PINNED},
}


def fetch_case_files(wanted: Mapping[str, str], folder: Path, address: str) -> Iterator[Note]:
    """Fetch the files that `folder` lacks. A file that a person has put there is kept, and a difference is reported."""
    for name, digest in wanted.items():
        path = folder / name
        if not path.exists():
            files.write_bytes(path, fetch_case_file(name, digest, folder, address))
        elif digest and files.compute_sha256(path) != digest:
            yield Note(f"{path} is kept, although it differs from TCIA's file", "warning")


def fetch_case_file(name: str, digest: str, folder: Path, address: str) -> bytes:
    """Fetch a file and check it. `folder` is where a person can put it instead."""
    url = f"{address.rstrip('/')}/{name}"
    try:
        request = urllib.request.Request(url, headers=_HEADERS)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            content: bytes = answer.read()
    except urllib.error.HTTPError as error:
        raise _build_error(name, url, folder, f"the server says {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _build_error(name, url, folder, str(error.reason)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _build_error(name, url, folder, str(error) or type(error).__name__) from None
    if digest and hashlib.sha256(content).hexdigest() != digest:
        raise _build_error(name, url, folder, f"the {len(content)} bytes received are not the official file")
    if not digest and not zipfile.is_zipfile(io.BytesIO(content)):
        raise _build_error(name, url, folder, "what was received is not a spreadsheet")
    return content


def _build_error(name: str, url: str, folder: Path, reason: str) -> DataError:
    return DataError(
        f"{name} could not be fetched from {url}: {reason}",
        hint="check the network, and start again; behind a proxy, set HTTPS_PROXY. Or get the file with a browser and "
        f"put it into {folder}. If the address has moved, change {hints.setting('table_address')}",
    )
