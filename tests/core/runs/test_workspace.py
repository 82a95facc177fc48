"""A workspace says what is wrong with its folders."""

import pytest

from tfm.core.errors import DiskError
from tfm.core.runs.workspace import Workspace

FOLDERS = ["runs", "plans", "dataset", "cache", "embeddings", "external", "certificates", "index"]
FOLDERS += ["models", "preprocess", "tune", "clusters"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_where_a_folder_belongs_is_named_before_anything_starts(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(DiskError, match="is not a folder") as refused:
        Workspace(tmp_path)
    assert str(tmp_path / name) in refused.value.message


@pytest.mark.parametrize("kind", ["dataset", "cache"])
def test_a_file_with_the_name_of_a_product_is_named(workspace, kind):
    file = workspace.product_folder(kind, "trial")
    file.parent.mkdir(parents=True)
    file.symlink_to("nowhere")
    with pytest.raises(DiskError, match="trial is not a folder"), workspace.lock_product(kind, "trial"):
        pass
