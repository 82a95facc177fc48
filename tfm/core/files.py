"""Read and write small files. A write is atomic: to a temporary file, which then replaces the target. What is read may
come from a stranger: it is limited in size, and whatever is wrong with it is a ValueError or an OSError.

Large arrays and append-only logs are written elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_MIB = 2**20
_MOST_YAML = 2 * _MIB  # bytes: seconds and 400 MB to read, and a plan of 10,000 steps has half
_MOST_JSON = 64 * _MIB  # the sources of a cache of 200,000 images have as much
_MOST_VALUES = 1_000_000  # that a YAML text stands for, since an alias repeats what it names
_DEEPEST = 50  # mappings and lists inside each other; settings have five
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class _YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The loader in C reads a plan of 325 steps in a tenth."""

    def construct_document(self, node: yaml.Node) -> Any:
        _measure(node, 0, {})
        return super().construct_document(node)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """A whole number. YAML 1.1 takes 24:00:00 for 86400, to the base of 60; here it is text."""
        return node.value if ":" in node.value else self.construct_yaml_int(node)


_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_YamlLoader.add_constructor("tag:yaml.org,2002:int", _YamlLoader.construct_number)


def _measure(node: yaml.Node, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node stands for, and how deep they lie. A node that aliases name is measured once."""
    if isinstance(node, yaml.ScalarNode):
        return 1, 0
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if key.tag not in _KEY_TAGS:
                raise ValueError(f"line {key.start_mark.line + 1} has a key that is no text: put it in quotes")
    if id(node) not in known and depth < _DEEPEST:
        inner = [one for pair in node.value for one in (pair if isinstance(pair, tuple) else (pair,))]
        sizes = [_measure(one, depth + 1, known) for one in inner]
        known[id(node)] = 1 + sum(size for size, _ in sizes), 1 + max((height for _, height in sizes), default=0)
    size, height = known.get(id(node), (0, _DEEPEST))
    if depth + height > _DEEPEST:
        raise ValueError(f"its lists and mappings are more than {_DEEPEST} deep")
    if size > _MOST_VALUES:
        raise ValueError(f"its aliases stand for more than {_MOST_VALUES} values")
    return size, height


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it replaces `path` if the block ends without an error."""
    with replace_atomically(path) as temporary:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
    sync_folder(path.parent)


@contextlib.contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Do the same for a link, which has no content of its own. The caller syncs the folder, once for many links."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make sure that new names in a folder outlast a power cut."""
    if os.name == "nt":  # Windows cannot open a folder to fsync it
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner opens: what it will contain may name patients."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_yaml(path: Path, value: Any) -> None:
    write_text(path, format_yaml(value))


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path, _MOST_JSON))
    except RecursionError:
        raise ValueError("its lists and objects are too deep") from None


def read_yaml(path: Path) -> Any:
    return parse_yaml(read_text(path))


def read_text(path: Path, most: int = _MOST_YAML) -> str:
    """Read a small file of any origin."""
    found = path.stat()
    if stat.S_ISREG(found.st_mode) and found.st_size > most:
        raise ValueError(f"it has {found.st_size / _MIB:.0f} MiB; at most {most // _MIB} are read")
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):  # it might never end
        raise ValueError("it is not a regular file")
    return path.read_text(encoding="utf-8")


def format_yaml(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def parse_yaml(text: str) -> Any:
    """Parse a text of any origin. Raises ValueError with the reason in one line."""
    if len(text) > _MOST_YAML:
        raise ValueError(f"it has more than {_MOST_YAML // _MIB} MiB")
    try:
        return yaml.load(text, _YamlLoader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def compute_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a killed writer. Only call this while holding the folder's lock."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
