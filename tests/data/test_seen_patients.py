"""A run recognises the patients it has learned from, and its files name none of a hospital."""

import stat

from tests.toy_jobs import toy_run
from tfm.core.runs.workspace import Workspace
from tfm.data.seen_patients import SeenPatients, hide_names

SEEN = ["P_00001", "cmmd:D1-0001", "own:Maria Perez", "extra:4711"]


def remember(workspace):
    run = toy_run(workspace, target=3)
    run.save_facts(patients_seen=hide_names(SEEN, workspace))
    return run


def test_a_run_names_public_patients_only(workspace):
    run = remember(workspace)
    kept = run.read_environment()["patients_seen"]
    assert {"P_00001", "cmmd:D1-0001"} <= set(kept)
    assert not any(name in (run.folder / "environment.json").read_text() for name in ("Maria", "4711"))
    assert hide_names(kept, workspace) == kept, "of a run that another one begins with"


def test_a_patient_is_recognised_in_the_workspace_and_nowhere_else(workspace, tmp_path):
    seen = SeenPatients.read(remember(workspace))
    assert all(seen.has_any([name]) for name in SEEN)
    assert not seen.has_any(["own:Maria", "extra:Maria Perez", "P_00002", "Maria Perez"])
    assert seen.has_name_in_file("Maria Perez")
    assert not seen.has_name_in_file("Maria")
    assert not set(hide_names(SEEN[2:], Workspace(tmp_path / "other"))) & seen


def test_the_names_in_a_run_of_an_older_version_are_recognised(workspace):
    remember(workspace).save_facts(patients_seen=SEEN)
    assert all(SeenPatients(SEEN, workspace.read_salt()).has_any([name]) for name in SEEN)


def test_only_its_owner_opens_the_folders_that_may_name_patients(workspace):
    remember(workspace)
    with workspace.lock_product("dataset", "mine"):
        pass
    for folder in (workspace.root, workspace.runs_folder, workspace.root / "dataset"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
