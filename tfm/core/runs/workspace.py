"""The workspace: the folder that contains everything the program creates. Reading it creates nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tfm.core import files, hints
from tfm.core.errors import BusyError, DiskError
from tfm.core.escape_text import is_utf8
from tfm.core.settings import presets

# The files that exist once a product is complete, and whose content identifies it.
PRODUCT_FILES = {"dataset": ("manifest.csv", ".arrangement"), "cache": ("index.csv", "settings.yaml")}
PRODUCT_TREES = {"dataset": ("train", "val", "test", "masks")}  # the folders that these files describe

DEFAULT_WORKSPACE = Path("workspace")

_OWN_PRESETS = ("models", "preprocess", "tune", "clusters")
_FOLDERS = (*_OWN_PRESETS, *PRODUCT_FILES, "runs", "plans", "embeddings", "external", "certificates", "index")


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        if not is_utf8(self.root):
            raise DiskError(
                f"the path {os.fsencode(self.root)!r} of the workspace is not UTF-8, which its files are",
                hint=f"rename its folder, or choose another {hints.setting('workspace')}",
            )
        if self.root.exists() and not self.root.is_dir():
            raise DiskError(f"{self.root} is a file, not a folder", hint=f"choose another {hints.setting('workspace')}")
        for name in _FOLDERS:
            _refuse_file(self.root / name)

    def create_folder(self) -> None:
        another = f"choose another {hints.setting('workspace')}"
        try:
            files.make_private_folder(self.root)
        except OSError as error:
            raise DiskError(f"{self.root} cannot be created ({error.strerror})", hint=another) from None
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise DiskError(f"{self.root} is not writable", hint=f"{another}, or change its permissions")

    def read_salt(self) -> str:
        """What the names of patients are hashed with; empty before the first name."""
        return files.read_text(self._salt_file).strip() if self._salt_file.is_file() else ""

    def create_salt(self) -> str:
        with self.lock():
            if not self.read_salt():
                files.write_text(self._salt_file, secrets.token_hex(16))
        return self.read_salt()

    @property
    def _salt_file(self) -> Path:
        return self.root / ".salt"

    @property
    def runs_folder(self) -> Path:
        return self.root / "runs"

    @property
    def plans_folder(self) -> Path:
        return self.root / "plans"

    @property
    def embeddings_folder(self) -> Path:
        return self.root / "embeddings"

    @property
    def external_folder(self) -> Path:
        """The predictions of models for datasets that they were not trained on."""
        return self.root / "external"

    @property
    def certificates_folder(self) -> Path:
        return self.root / "certificates"

    @property
    def answers_file(self) -> Path:
        return self.root / "answers.yaml"

    @property
    def index_file(self) -> Path:
        """The index of the DICOM headers of downloads."""
        return self.root / "index" / "headers.sqlite"

    def list_presets(self, folder: str, like: str | None = None) -> list[str]:
        return presets.list_presets(folder, self._own_presets(folder), like)

    def load_preset(self, folder: str, name: str) -> presets.Preset:
        """A preset that ships with the program, or one of the workspace's own, such as models/mine.yaml."""
        return presets.load_preset(folder, name, self._own_presets(folder))

    def _own_presets(self, folder: str) -> Path | None:
        return self.root / folder if folder in _OWN_PRESETS else None

    def dataset_folder(self, name: str) -> Path:
        return self.product_folder("dataset", name)

    def cache_folder(self, name: str) -> Path:
        return self.product_folder("cache", name)

    def product_folder(self, kind: str, name: str) -> Path:
        return self.root / kind / name

    def list_products(self, kind: str) -> list[str]:
        """The names of the complete datasets or caches."""
        found = self.root.glob(f"{kind}/*/{PRODUCT_FILES[kind][0]}")
        return sorted(file.parent.name for file in found)

    def lock(self) -> FileLock:
        """Held while a job is found or created, so that two starts never create two."""
        self.create_folder()
        return FileLock(self.root / ".lock")

    def lock_study(self, study: str) -> FileLock:
        """Held while a worker of a study takes a trial: that includes a slow database, so it is not the main lock."""
        self.create_folder()
        return FileLock(self.root / f".{study}.lock")

    @contextlib.contextmanager
    def lock_product(self, kind: str, name: str) -> Iterator[Path]:
        """Yield the folder of a dataset or cache to the one run that may write it now."""
        folder = self.product_folder(kind, name)
        _refuse_file(folder)
        files.make_private_folder(folder.parent)
        try:
            with FileLock(folder.with_name(f".{name}.lock"), timeout=1):
                yield folder
        except Timeout:
            raise BusyError(
                f"another run is writing the {kind} {name}", hint="wait until it is done, or choose another name"
            ) from None


def _refuse_file(folder: Path) -> None:
    """A link to nowhere cannot become a folder either."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise DiskError(
            f"{folder} is not a folder, but the workspace needs one there", hint="move it out of the workspace"
        )
