"""Every file is listed once, and what cannot be read is reported."""

from pathlib import Path

import pytest

from tfm.core.file_walk import walk_files


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "a.dcm").write_text("a")
    (tmp_path / "tree" / "deep" / "b.dcm").write_text("bb")
    return tmp_path / "tree"


def list_names(*roots, links=False):
    return sorted(Path(file.path).name for file in walk_files(roots, links=links))


def test_files_are_listed_with_their_sizes(tree):
    assert sorted((Path(file.path).name, file.size) for file in walk_files([tree])) == [
        ("a.dcm", 1),
        ("b.dcm", 2),
    ]


def test_overlapping_roots_list_each_file_once(tree):
    assert list_names(tree, tree / "deep", tree) == ["a.dcm", "b.dcm"]


def test_a_linked_folder_outside_the_root_is_read(tree, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "c.dcm").touch()
    (tree / "link").symlink_to(tmp_path / "outside")
    assert list_names(tree) == ["a.dcm", "b.dcm", "c.dcm"]


def test_links_that_add_no_files_are_only_listed_on_request(tree):
    (tree / "deep" / "up").symlink_to(tree)
    (tree / "again").symlink_to(tree / "deep")
    (tree / "gone.dcm").symlink_to(tree / "nowhere")
    assert list_names(tree) == ["a.dcm", "b.dcm"]
    assert list_names(tree, links=True) == ["a.dcm", "again", "b.dcm", "gone.dcm", "up"]
    problems = {Path(file.path).name: file.problem for file in walk_files([tree], links=True) if file.problem}
    assert len(set(problems.values())) == 3


def test_a_missing_root_is_reported(tmp_path):
    (file,) = walk_files([tmp_path / "absent"])
    assert file.path == str(tmp_path / "absent")
    assert file.problem
