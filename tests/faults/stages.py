"""Every stage that works long, as a small job of seconds, and all that it leaves behind in a form to compare."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2

from tests.data.phantoms import phantom_download
from tests.pipelines.forests import forest_run, head_run, workspace_with_a_head
from tests.pipelines.predicting import draw_breast, make_image_dataset, start_prediction, train_on_files
from tests.training.results import flatten_checkpoint, flatten_learner
from tests.training.small_dataset import QUICK_SETTINGS, finish_run, make_train_run
from tests.training.studies import collect_results, create_study_run
from tfm.core.events import Table
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.lookup import find_run
from tfm.core.runs.plan import Plan, Step
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.training.checkpoint import read_checkpoint
from tfm.training.embedding_classifier import load_learner

Job = Run | Plan
Results = dict[str, Any]

SMALL = {"resize.height": 64, "resize.width": 64}
SAVING = {"checkpoint_seconds": 0}
# Not compared: journals, and the tables of a comparison, which have the minutes of its runs.
FREE = (
    *("status.json", "environment.json", "events.jsonl", "log.txt", "lock", "heartbeat", "settings.yaml", "study.db"),
    "comparison-1",
)


class Material:
    """What the jobs read: a workspace with datasets, caches and trained runs, a download and images of one's own."""

    def __init__(self, folder: Path) -> None:
        self.download, self.images = folder / "download", folder / "images"
        phantom_download(self.download, 8, 4, seed=1)
        self.images.mkdir()
        for number in range(8):
            name = f"P_9{number:04d}_LEFT_CC.png"
            cv2.imwrite(str(self.images / name), draw_breast(100 + number, malignant=bool(number % 2)))
        self.workspace = workspace_with_a_head(folder)
        self.head = finish_run(head_run(self.workspace)).id
        make_image_dataset(self.workspace)
        self.trained = train_on_files(self.workspace).id
        finish_run(self.organize(self.workspace, name="drawn"))

    def organize(self, workspace: Workspace, name: str = "organized") -> Run:
        given = {"download": [str(self.download)], "name": name, "val_share": 0.3, "link": "copy"}
        return find_or_create_job(workspace, "organize", given)

    def preprocess(self, workspace: Workspace) -> Run:
        given = {"dataset": "drawn", "cache": "prepared", "workers": 1} | SMALL
        return find_or_create_job(workspace, "preprocess", given, ["fast"])

    def train(self, workspace: Workspace) -> Run:
        return make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", ema=0.9, **SAVING)

    def pretrain(self, workspace: Workspace) -> Run:
        given = {"architecture": "test_resnet", "block": 16, "pictures_every": 1, "beta": 0}
        return find_or_create_job(workspace, "pretrain", QUICK_SETTINGS | SAVING | given)

    def segment(self, workspace: Workspace) -> Run:
        given = {"backbone": "test_resnet", "classes": "lesion", "tile": 32, "window_overlap": 0}
        return find_or_create_job(workspace, "segment", QUICK_SETTINGS | SAVING | given)

    def tune(self, workspace: Workspace) -> Run:
        return create_study_run(workspace, 3)

    def forest(self, workspace: Workspace) -> Run:
        return forest_run(find_run(workspace, self.head), trees=40)

    def predict(self, workspace: Workspace) -> Run:
        return start_prediction(find_run(workspace, self.trained), self.images)

    def explain(self, workspace: Workspace) -> Run:
        given = {"run": self.trained, "pictures": 4, "occluded_images": 1, "threads": 1, "device": "cpu"}
        return find_or_create_job(workspace, "explain", given)

    def plan(self, workspace: Workspace) -> Plan:
        """A queue: preprocess, train two models, compare them."""
        prepare = {"dataset": "drawn", "cache": "queued", "workers": 1} | SMALL
        train = QUICK_SETTINGS | {"dataset": "drawn", "cache": "@prepare.cache", "architecture": "test_resnet"} | SAVING
        steps = [
            Step("prepare", "preprocess", prepare, "fast"),
            *(Step(f"seed-{seed}", "train", train | {"seed": seed}, "ResNet18_CFT") for seed in (1, 2)),
            Step("compare", "compare", {"runs": ["@seed-1.run", "@seed-2.run"]}),
        ]
        return find_or_create_plan(workspace, "two seeds", steps)


STAGES: dict[str, Callable[[Material, Workspace], Job]] = {
    "organize": Material.organize,
    "preprocess": Material.preprocess,
    "train": Material.train,
    "pretrain": Material.pretrain,
    "segment": Material.segment,
    "tune": Material.tune,
    "forest": Material.forest,
    "predict": Material.predict,
    "explain": Material.explain,
    "plan": Material.plan,
}


def collect(job: Job) -> Results:
    """All that a finished job left behind, by name: contents, and the tensors of checkpoints."""
    if isinstance(job, Plan):
        runs = job.read_status().runs
        return {
            f"{step}/{n}": v for step, run in runs.items() for n, v in collect(find_run(job.workspace, run)).items()
        }
    if job.read_stage() == "tune":
        return {f"part {number}": part for number, part in enumerate(collect_results(job))}
    root, events = job.workspace.root, job.read_events()
    results: Results = {"result": remove_varying(json.dumps(job.read_status().result), root)}
    results |= {"end of the log": events[-1:], "tables": {event.title for event in events if isinstance(event, Table)}}
    return results | {remove_varying(str(path), root): read(path, root) for path in list_files(job)}


def list_files(run: Run) -> Iterator[Path]:
    result = run.read_status().result
    folders = [run.folder]
    folders += [run.workspace.dataset_folder(result["dataset"])] if run.read_stage() == "organize" else []
    folders += [run.workspace.cache_folder(result["cache"])] if run.read_stage() == "preprocess" else []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith(FREE) and path.suffix != ".lock":
                yield path


def read(path: Path, root: Path) -> Any:
    if path.suffix == ".pt":
        content = flatten_checkpoint(read_checkpoint(path))
        content.pop("/run")
        return content
    if path.suffix == ".skops":
        return flatten_learner(load_learner(path, 96))
    if path.suffix in (".json", ".html", ".md", ".csv", ".yaml", ".svg"):
        return remove_varying(path.read_text(encoding="utf-8"), root)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def remove_varying(text: str, root: Path) -> str:
    """Remove what two undisturbed jobs do not share: folders, the names of runs, their time and their speed."""
    text = re.sub(r"\d{4}-\d\d-\d\d_[\w.-]+?_[0-9a-f]{6}", "RUN", text.replace(str(root), "ROOT"))
    return re.sub(r'"(seconds|minutes|images_per_second)": (null|[\d.]+)', "", text)
