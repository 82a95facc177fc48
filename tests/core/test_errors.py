"""Every error becomes one that a person can act on."""

import errno
import os

import pytest

from tfm.core.errors import DiskError, TFMError, translate_error


def test_a_full_disk_becomes_a_disk_error_with_the_path():
    error = translate_error(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    assert isinstance(error, DiskError)
    assert "/data/x" in error.message
    assert "space" in error.hint


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_failed_disk_is_no_defect_of_the_program(code):
    error = translate_error(OSError(code, os.strerror(code), "/data/x"))
    assert isinstance(error, DiskError)
    assert "start the same thing again" in error.hint


def test_a_defect_names_the_log_that_has_its_traceback(tmp_path):
    log = tmp_path / "log.txt"
    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError as error:
        defect = translate_error(error, log)
    assert "ZeroDivisionError" in defect.message
    assert str(log) in defect.hint
    assert "Traceback" in log.read_text()


def test_an_error_with_a_hint_stays_as_it_is():
    error = TFMError("a", hint="b")
    assert translate_error(error) is error
