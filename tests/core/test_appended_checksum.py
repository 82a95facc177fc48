"""A checksum is found and detects every change."""

import pytest

from tfm.core.appended_checksum import append_checksum, has_checksum, has_valid_checksum


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "last.pt"
    path.write_bytes(b"weights" * 1000)
    return path


def test_a_file_is_valid_with_its_checksum_only(file):
    assert not has_checksum(file)
    assert not has_valid_checksum(file)
    append_checksum(file)
    assert has_checksum(file)
    assert has_valid_checksum(file)
    assert file.read_bytes().startswith(b"weights" * 1000)


@pytest.mark.parametrize("position", [0, 3500, -1])
def test_a_changed_byte_is_detected(file, position):
    append_checksum(file)
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    assert not has_valid_checksum(file)


@pytest.mark.parametrize("size", [0, 10, 5000])
def test_a_truncated_file_is_detected(file, size):
    append_checksum(file)
    file.write_bytes(file.read_bytes()[:size])
    assert not has_valid_checksum(file)
