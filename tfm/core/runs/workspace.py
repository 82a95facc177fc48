"""The workspace: where everything the program makes lives, and what stands in it. Nothing is made by looking."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tfm.core import hints
from tfm.core.errors import BusyError, DiskError
from tfm.core.settings import presets

# What tells a finished product from a half-made one, and its content from another's.
PRODUCT_FILES = {"dataset": ("manifest.csv", ".arrangement"), "cache": ("index.csv", "settings.yaml")}
PRODUCT_TREES = {"dataset": ("train", "val", "test", "masks")}  # below it, what its files speak of

DEFAULT_WORKSPACE = Path("workspace")


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        if self.root.exists() and not self.root.is_dir():
            raise DiskError(f"{self.root} is a file, not a folder", hint=f"choose another {hints.setting('workspace')}")

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
    def answers_file(self) -> Path:
        return self.root / "answers.yaml"

    @property
    def index_file(self) -> Path:
        """What was read of downloads' headers."""
        return self.root / "index" / "headers.sqlite"

    def list_presets(self, folder: str, like: str | None = None) -> list[str]:
        return presets.list_presets(folder, self._own_presets(folder), like)

    def load_preset(self, folder: str, name: str) -> presets.Preset:
        """One that ships, or a user's own: workspace/models/*.yaml become entries of the model menu,
        workspace/preprocess/*.yaml chains in an order of one's own, workspace/tune/*.yaml spaces to search."""
        return presets.load_preset(folder, name, self._own_presets(folder))

    def _own_presets(self, folder: str) -> Path | None:
        return self.root / folder if folder in ("models", "preprocess", "tune") else None

    def dataset_folder(self, name: str) -> Path:
        return self.product_folder("dataset", name)

    def cache_folder(self, name: str) -> Path:
        return self.product_folder("cache", name)

    def product_folder(self, kind: str, name: str) -> Path:
        return self.root / kind / name

    def list_products(self, kind: str) -> list[str]:
        """The names of the finished datasets or caches."""
        marks = self.root.glob(f"{kind}/*/{PRODUCT_FILES[kind][0]}")
        return sorted(mark.parent.name for mark in marks)

    def lock(self) -> FileLock:
        """Held for the instant in which a job is found or made, so that two starts never make two."""
        self.create_folder()
        return FileLock(self.root / ".lock")

    def lock_study(self, study: str) -> FileLock:
        """Held while a worker of a study takes a trial: it asks a database meanwhile, for which nobody else waits."""
        self.create_folder()
        return FileLock(self.root / f".{study}.lock")

    @contextlib.contextmanager
    def lock_product(self, kind: str, name: str) -> Iterator[Path]:
        """A dataset's or cache's folder, for the one run that may make and write it now."""
        folder = self.product_folder(kind, name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder.with_name(f".{name}.lock"), timeout=1):
                yield folder
        except Timeout:
            raise BusyError(
                f"another run is writing {kind} {name}", hint="wait for it, or give this one another name"
            ) from None

    def create_folder(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(
                f"{self.root} cannot be made ({error.strerror})", hint=f"choose another {hints.setting('workspace')}"
            ) from None
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise DiskError(
                f"{self.root} cannot be written",
                hint=f"choose another {hints.setting('workspace')}, or change its permissions",
            )
