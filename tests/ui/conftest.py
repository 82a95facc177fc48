"""A command run in the process of the test: much faster than a process of its own."""

import subprocess
from collections.abc import Callable

import pytest

from tfm.ui.cli import main
from tfm.ui.spell_references import set_reader


@pytest.fixture
def run_main(
    tmp_path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call the program with these words, in an empty folder and without a terminal."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "120")
        capsys.readouterr()
        status = main([*map(str, words)])
        set_reader(None)
        return subprocess.CompletedProcess(words, status, *capsys.readouterr())

    return run
