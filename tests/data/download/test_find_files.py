"""Finding a download in any folder that a person names, without changing it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.data.downloads import KINDS, plan_catalog, read_all, read_catalog, write_dataset
from tests.data.phantoms import phantom_download
from tfm.core.errors import DataError, SettingsError
from tfm.core.file_walk import walk_files
from tfm.data.dataset.dataset import Dataset
from tfm.data.download import read_download
from tfm.data.download.find_files import describe_layouts, scan_folders


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("home") / "download")


def made(folder: Path, layout: str = "nbia") -> Path:
    phantom_download(folder, 8, 4, layout=layout)
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index" / "headers.sqlite"


def images(*given: Path, index: Path, csvs: tuple[Path, ...] = ()) -> list[str]:
    found = read_download.build_catalog(read_all(*given, index=index, csvs=csvs), KINDS)
    return sorted(plan_catalog(found).manifest["sop_uid"])


def test_a_folder_above_or_inside_gives_the_same_download(phantoms: Path, index: Path) -> None:
    meant = images(phantoms, index=index)
    manifest = phantoms / "manifest-phantom"
    subject = next((manifest / "CBIS-DDSM").iterdir())
    deepest = next(path for path in subject.rglob("*.dcm")).parent
    for given in (phantoms.parent, manifest, manifest / "CBIS-DDSM", subject, deepest):
        assert images(given, index=index) == meant, given


def test_a_subfolder_is_widened_to_its_download_and_reported(phantoms: Path, index: Path) -> None:
    subject = next((phantoms / "manifest-phantom" / "CBIS-DDSM").iterdir())
    notes = [found.words for found in read_all(subject, index=index).notices if found.kind == "note"]
    assert len(notes) == 1
    assert str(subject.parent) in notes[0]


def test_tables_beside_kaggles_jpeg_folder_are_found(tmp_path: Path, index: Path) -> None:
    kaggle = made(tmp_path / "kaggle", "kaggle")
    assert images(kaggle / "jpeg", index=index) == images(kaggle, index=index)


def test_several_folders_are_one_download(phantoms: Path, tmp_path: Path, index: Path) -> None:
    subjects = sorted((phantoms / "manifest-phantom" / "CBIS-DDSM").iterdir())
    for number, subject in enumerate(subjects):
        shutil.copytree(subject, tmp_path / f"part {number % 2}" / "CBIS-DDSM" / subject.name)
    parts = tmp_path / "part 0", tmp_path / "part 1"
    assert images(*parts, index=index, csvs=(phantoms,)) == images(phantoms, index=index)
    with pytest.raises(SettingsError, match="no case CSV"):
        images(*parts, index=index)


def test_a_text_file_lists_the_files_of_a_download(phantoms: Path, tmp_path: Path, index: Path) -> None:
    files = sorted(phantoms.rglob("*.dcm"))
    home = tmp_path / "lists"
    home.mkdir()
    relative = [os.path.relpath(path, home) for path in files[1::2]]
    (home / "files.txt").write_text("\n".join([*map(str, files[::2]), "", *relative, "gone/1-1.dcm"]) + "\n")
    given = home / "files.txt"
    assert images(given, index=index, csvs=(phantoms,)) == images(phantoms, index=index)
    found = read_all(given, index=index, csvs=(phantoms,)).notices
    assert [(one.kind, one.subject) for one in found] == [("missing", "gone/1-1.dcm")]


def test_a_file_that_is_not_a_list_is_refused(phantoms: Path, index: Path) -> None:
    with pytest.raises(DataError, match="neither a folder nor a list"):
        images(next(phantoms.rglob("*.dcm")), index=index)


def test_named_csvs_have_priority_over_those_in_the_download(phantoms: Path, tmp_path: Path, index: Path) -> None:
    only = tmp_path / "mine"
    only.mkdir()
    for path in phantoms.glob("mass_*.csv"):
        shutil.copy2(path, only)
    cases = read_all(phantoms, index=index, csvs=(only,)).cases
    assert set(cases["kind"]) == {"mass"}


def test_directory_loops_and_links_are_scanned_once(phantoms: Path, tmp_path: Path, index: Path) -> None:
    home = tmp_path / "linked"
    home.mkdir()
    (home / "download").symlink_to(phantoms)
    (home / "again").symlink_to(phantoms)
    (home / "self").symlink_to(home)
    (home / "broken").symlink_to(home / "nowhere")
    (home / "circle").symlink_to(home / "circle")
    met = [one.path for one in walk_files([home]) if not one.problem]
    assert len(met) == len(set(met)) == sum(path.is_file() for path in phantoms.rglob("*"))
    assert images(home, index=index) == images(phantoms, index=index)


@pytest.mark.parametrize("names", [("1", "2"), ("2", "1")])
def test_nested_links_reach_all_files_in_any_order(names: tuple[str, str], tmp_path: Path) -> None:
    for kind in ("mass", "calc"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        (tmp_path / "data" / kind / "1-1.dcm").touch()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / names[0]).symlink_to(tmp_path / "data" / "mass")
    (tmp_path / "home" / names[1]).symlink_to(tmp_path / "data")
    met = sorted(Path(one.path).parent.name for one in walk_files([tmp_path / "home"]))
    assert met == ["calc", "mass"]
    beside = sorted(Path(one.path).parent.name for one in walk_files([tmp_path / "data" / "mass", tmp_path / "home"]))
    assert beside == ["calc", "mass"]


def test_linked_files_are_resolved_before_they_are_linked(phantoms: Path, tmp_path: Path, index: Path) -> None:
    """As git-annex and cluster mirrors have them: one relative link a file."""
    annex = tmp_path / "annex"
    for path in phantoms.rglob("*"):
        place = annex / path.relative_to(phantoms)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            place.symlink_to(os.path.relpath(path, place.parent))
    found = read_catalog(annex, index=index)
    list(write_dataset(tmp_path / "dataset", plan_catalog(found), annex))
    dataset = Dataset.open(tmp_path / "dataset")
    files = [dataset.path(file) for file in dataset.manifest["file"]]
    assert not any(file.is_symlink() for file in files)
    assert all(file.stat().st_nlink > 1 for file in files)


def test_a_list_may_contain_folders_and_windows_paths(phantoms: Path, tmp_path: Path, index: Path) -> None:
    listed = tmp_path / "folders.txt"
    subjects = sorted((phantoms / "manifest-phantom" / "CBIS-DDSM").iterdir())
    listed.write_text("\r\n".join(f'"{path}"' for path in subjects), encoding="utf-16")
    assert images(listed, index=index, csvs=(phantoms,)) == images(phantoms, index=index)


def test_a_list_without_existing_files_is_refused_with_an_example(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("C:\\data\\1-1.dcm\nC:\\data\\1-2.dcm\n")
    with pytest.raises(DataError, match="none of the 2 listed files exists, for example C:"):
        scan_folders([tmp_path / "list.txt"])


def test_nothing_is_written_into_a_download(phantoms: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    subject = next((copy / "manifest-phantom" / "CBIS-DDSM").iterdir())
    inside = subject.parent / "workspace" / "index" / "headers.sqlite"
    with pytest.raises(DataError, match="are nested"):
        read_all(subject, index=inside)
    assert not inside.parent.exists()


def test_names_with_spaces_accents_and_undecodable_bytes(phantoms: Path, tmp_path: Path, index: Path) -> None:
    odd = tmp_path / "Máster ñandú 乳" / os.fsdecode(b"sin codificar \xff\xfe")
    shutil.copytree(phantoms, odd)
    found = read_catalog(odd, index=index)
    arranged = plan_catalog(found)
    list(write_dataset(tmp_path / "dataset", arranged, odd))
    assert sorted(Dataset.open(tmp_path / "dataset").manifest["sop_uid"]) == images(phantoms, index=index)
    assert images(odd, index=index) == images(phantoms, index=index)


def test_ten_thousand_unrelated_files_change_nothing(phantoms: Path, tmp_path: Path, index: Path) -> None:
    home = tmp_path / "Downloads"
    for number in range(10_000):
        folder = home / f"{number // 500}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.{('txt', 'jpg', 'csv', 'pdf')[number % 4]}").touch()
    (home / "cbis").symlink_to(phantoms)
    assert images(home, index=index) == images(phantoms, index=index)


def test_a_read_only_download_is_organized_and_not_changed(phantoms: Path, tmp_path: Path, index: Path) -> None:
    copy = shutil.copytree(phantoms, tmp_path / "disc")
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in copy.rglob("*")}
    found = read_catalog(copy, index=index)
    list(write_dataset(tmp_path / "dataset", plan_catalog(found), copy))
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in copy.rglob("*")} == before
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o755)


def test_a_folder_without_mammograms_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "._1-1.dcm").write_bytes(b"left by a Mac")
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(DataError, match="no mammograms") as caught:
        scan_folders([tmp_path])
    assert "NBIA Data Retriever" in caught.value.hint


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        *[(name, "NBIA's folders") for name in ("nbia", "nbia-2020", "nbia-2019")],
        ("classic", "NBIA's classic folders"),
        ("mirror", "folders by UID"),
        ("kaggle", "Kaggle's JPEG"),
    ],
)
def test_the_layout_is_named(layout: str, words: str, tmp_path: Path) -> None:
    found = scan_folders([made(tmp_path / "download", layout)])
    assert describe_layouts(one.path for one in found.images) == [words]
