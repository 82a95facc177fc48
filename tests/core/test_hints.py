"""References quote what a shell or a form would misread."""

import pytest

from tfm.core import hints


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (hints.command("runs list"), "`command: runs list`"),
        (hints.command("runs resume", "2026-01-02_train_0a"), "`command: runs resume 2026-01-02_train_0a`"),
        (hints.command("organize", "my folder"), "`command: organize 'my folder'`"),
        (hints.command("train MODEL", study="s", help=True), "`command: train MODEL with study=s help=true`"),
        (hints.setting("cache"), "`setting: cache`"),
        (hints.setting("batch_size", 4), "`setting: batch_size=4`"),
        (hints.setting("cache", "a b"), "`setting: 'cache=a b'`"),
    ],
)
def test_a_reference_is_written_in_one_form(reference, text):
    assert reference == text
