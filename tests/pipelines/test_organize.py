"""Organize in a form: the download is inspected before questions, and the result is shown before it is written."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.phantoms import phantom_download
from tests.data.small_collections import write_own
from tfm.commands.organize import Organize
from tfm.core.errors import SettingsError
from tfm.core.events import Event, Note, Table
from tfm.core.registry import InspectionResult
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.plan import Plan
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.pipelines import organize


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("download")
    phantom_download(folder, 14, 6)
    return folder


def without(phantoms: Path, folder: Path, words: str) -> Path:
    """Copy the download without files that have one of these words in their path."""
    shutil.copytree(phantoms, folder, ignore=lambda _, names: [name for name in names if words in name])
    return folder


def shown(events: Iterator[Event | InspectionResult]) -> tuple[list[Event], InspectionResult]:
    seen = list(events)
    results = [event for event in seen if isinstance(event, InspectionResult)]
    others = [event for event in seen if not isinstance(event, InspectionResult)]
    return others, results[-1] if results else InspectionResult()


def inspect(workspace: Workspace, *given: Path, **other: Any) -> tuple[list[Event], InspectionResult]:
    return shown(organize.inspect_download({"download": list(given)} | other, workspace))


def table(events: list[Event]) -> Table:
    return next(event for event in events if isinstance(event, Table))


def warnings(events: list[Event]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Note) and event.level == "warning")


def test_a_whole_download_leaves_every_question_open(phantoms: Path, workspace: Workspace) -> None:
    events, result = inspect(workspace, phantoms)
    assert result.fixed == {"collection": "cbis-ddsm"}
    assert warnings(events) == ""
    assert [row[0] for row in table(events).rows] == ["mass train", "mass test", "calc train", "calc test"]
    assert "NBIA's folders" in table(events).caption


def test_without_tcias_test_set_the_split_is_random_and_reported(
    phantoms: Path, workspace: Workspace, tmp_path: Path
) -> None:
    partial = without(phantoms, tmp_path / "partial", "-Test_")
    events, result = inspect(workspace, partial)
    assert result.fixed == {"collection": "cbis-ddsm", "split": "random"}
    assert result.choices == {"split": ["random"]}
    assert "TCIA's test set" in warnings(events)
    settings = Organize(download=[partial], split="random", val_share=0.25)
    made, _ = shown(organize.preview(settings, workspace))
    assert "random (seed 0)" in table(made).caption
    assert all(int(row[1]) for row in table(made).rows), "no split is empty"
    with pytest.raises(SettingsError, match="official split"):
        list(organize.preview(Organize(download=[partial]), workspace))


def test_a_subfolder_of_a_download_is_widened_and_reported(phantoms: Path, workspace: Workspace) -> None:
    subject = next((phantoms / "manifest-phantom" / "CBIS-DDSM").iterdir())
    events, _ = inspect(workspace, subject)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(note.startswith(f"{subject} ") and str(subject.parent) in note for note in notes)
    assert table(events).rows == table(inspect(workspace, phantoms)[0]).rows


def test_csvs_of_one_kind_answer_the_lesions_question(phantoms: Path, workspace: Workspace, tmp_path: Path) -> None:
    _, result = inspect(workspace, without(phantoms, tmp_path / "mass", "calc_case"))
    assert result.fixed == {"collection": "cbis-ddsm", "lesions": "mass"}


def test_without_csvs_the_form_asks_for_them(phantoms: Path, workspace: Workspace, tmp_path: Path) -> None:
    bare = without(phantoms, tmp_path / "deep" / "er" / "still" / "bare", "_case_description_")
    with pytest.raises(SettingsError, match="no case CSV") as caught:
        inspect(workspace, bare)
    assert caught.value.fields == ("download", "csv")
    events, _ = inspect(workspace, bare, csv=(phantoms,))
    assert len(table(events).rows) == 4


def test_missing_images_are_counted_before_the_questions(phantoms: Path, workspace: Workspace, tmp_path: Path) -> None:
    subject = next(path.name for path in sorted((phantoms / "manifest-phantom" / "CBIS-DDSM").glob("*-Test_*_CC")))
    events, _ = inspect(workspace, without(phantoms, tmp_path / "partial", subject))
    assert "1 of 40 mammograms" in warnings(events)


def test_a_preview_writes_no_dataset(phantoms: Path, workspace: Workspace) -> None:
    made, _ = shown(organize.preview(Organize(download=[phantoms], val_share=0.25), workspace))
    assert [row[0] for row in table(made).rows] == ["train", "val", "test"]
    assert "phantoms, official, mass+calc" in table(made).caption
    assert not (workspace.root / "dataset").exists()


def test_a_download_of_crops_alone_keeps_tcias_split(phantoms: Path, workspace: Workspace, tmp_path: Path) -> None:
    crops = without(phantoms, tmp_path / "crops", "full mammogram images")
    _, result = inspect(workspace, crops)
    assert result.fixed == {"collection": "cbis-ddsm", "images": "crops"}
    made, _ = shown(organize.preview(Organize(download=[crops], images="crops", val_share=0.25), workspace))
    assert "official, mass+calc, crops" in table(made).caption


def test_a_name_in_use_is_reported_before_the_start(phantoms: Path, workspace: Workspace) -> None:
    finish(find_or_create_job(workspace, "organize", {"download": [str(phantoms)], "val_share": 0.25}))
    with pytest.raises(SettingsError, match="already") as caught:
        list(organize.preview(Organize(download=[phantoms], val_share=0.3), workspace))
    assert caught.value.fields == ("name",)


def test_a_workspace_inside_the_download_is_refused_and_not_created(phantoms: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    inside = Workspace(copy / "workspace")
    with pytest.raises(SettingsError, match="is inside") as caught:
        find_or_create_job(inside, "organize", {"download": [str(copy)]})
    assert "setting: workspace" in caught.value.hint
    assert not inside.root.exists()


def test_a_run_is_not_reused_after_its_implicit_inputs_changed(
    phantoms: Path, workspace: Workspace, tmp_path: Path
) -> None:
    """No setting names the CSVs beside a folder, or the rest of the download around one patient."""
    copy = shutil.copytree(phantoms, tmp_path / "copy")
    subject = next((copy / "manifest-phantom" / "CBIS-DDSM").glob("Mass-Training_*"))
    other = next(path for path in subject.parent.glob("Calc-Training_*"))
    (tmp_path / "list.txt").write_text("\n".join(map(str, copy.rglob("*.dcm"))))

    def key(given: Path) -> str:
        return find_or_create_job(workspace, "organize", {"download": [str(given)]}).read_status().key

    given = (subject.parent, subject, tmp_path / "list.txt")
    before = [key(path) for path in given]
    assert [key(path) for path in given] == before
    (copy / "mass_case_description_train_set.csv").touch()
    assert key(given[0]) != before[0]
    before = [key(path) for path in given]
    shutil.rmtree(other)
    assert key(given[1]) != before[1]
    before = [key(path) for path in given]
    next(copy.rglob("*.dcm")).touch()
    assert key(given[2]) != before[2]


def finish(run: Run | Plan) -> None:
    started = ThisMachine().submit(run)
    assert started.process is not None
    started.process.wait(timeout=120)
    assert run.read_status().state == "done", run.read_status()


def test_a_dataset_without_a_name_is_called_as_its_collection(workspace: Workspace, tmp_path: Path) -> None:
    write_own(tmp_path / "pictures", 6)
    settings = Organize(download=[tmp_path / "pictures"], split="random")
    list(organize.preview(settings, workspace))
    run = find_or_create_job(workspace, "organize", {"download": [str(tmp_path / "pictures")], "split": "random"}, [])
    assert isinstance(run, Run)
    *_, result = organize.organize(settings, run)
    assert result.values["dataset"] == "own"
    assert workspace.list_products("dataset") == ["own"]
    with pytest.raises(SettingsError, match="another collection than own images"):
        list(organize.preview(settings.model_copy(update={"name": "mias"}), workspace))
