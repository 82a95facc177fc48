"""Presets, records and case CSVs as a stranger or a fault could leave them, each made from a true one and a seed."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.toy_jobs import toy_run
from tfm.core import files
from tfm.core.errors import TFMError
from tfm.core.runs.find_or_create import find_or_create_plan
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.plan import Step
from tfm.core.runs.resolve_command_settings import find_preset, get_started_command, load_settings, resolve_settings
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets
from tfm.data.sources.cbis_ddsm import read_cases

MOST_SECONDS = 10
STARTERS = {"models": "train", "preprocess": "preprocess", "tune": "tune"}
VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        10**25,
        float("inf"),
        float("nan"),
        [],
        {},
        [None],
        [[]],
        {"low": None},
        {"low": 1, "high": "a"},
    ),
    *("", "x" * 70_000, "=cmd|' /C calc'!A0", "\x1b[2J", "é" * 9, "../../etc", "@one.run", "{{7*7}}", {"a": {"b": {}}}),
]
PIECES = [
    *(
        "&a [",
        "*a",
        "<<: ",
        "!!python/name:os.system ",
        "\t",
        "\x00",
        "- ",
        ": ",
        "{",
        "]",
        "'",
        '"',
        "%",
        "---\n",
        "? ",
        "\r",
    ),
    *("\ufeff", "\U0001f9e0", "9" * 5000, ",,,,", ";", "\n\n", "[" * 300, "\\ud800", "1e400", "0x", "2026-99-99"),
]
HEAD = "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,assessment,pathology"
ROW = "P_{number:05d},{density},LEFT,CC,1,mass,4,BENIGN"


def spoil_values(content: Any, dice: random.Random) -> Any:
    """Replace a few values anywhere in nested mappings."""
    for _ in range(dice.randint(1, 3)):
        here = content
        while isinstance(here, dict) and here:
            name = dice.choice(list(here))
            if not isinstance(here[name], dict) or dice.random() < 0.3:
                here[name] = copy.deepcopy(dice.choice(VALUES))
                if dice.random() < 0.2:
                    here[str(dice.choice(VALUES))[:99]] = None
                break
            here = here[name]
    return content


def spoil_text(text: str, dice: random.Random) -> bytes:
    """Insert, repeat and cut pieces of a text."""
    for _ in range(dice.randint(1, 4)):
        place, length = dice.randint(0, len(text)), dice.randint(0, 40)
        middle = dice.choice([dice.choice(PIECES), text[place : place + length] * dice.choice([2, 500]), ""])
        text = text[:place] + middle + text[place + length * dice.randint(0, 1) :]
    raw = text.encode("utf-8", "surrogatepass")
    return raw if dice.random() < 0.9 else dice.choice([text.encode("utf-16"), raw[::-1], raw.replace(b"e", b"\xe9")])


def read_preset(dice: random.Random, text: bytes | None, workspace: Workspace) -> None:
    folder = dice.choice(list(STARTERS))
    true = dice.choice(sorted((presets.CONFIGS / folder).glob("*.yaml")))
    (workspace.root / folder).mkdir(parents=True, exist_ok=True)
    if text is None and dice.random() < 0.5:
        text = files.format_yaml(spoil_values(files.read_yaml(true), dice)).encode()
    (workspace.root / folder / "Mine.yaml").write_bytes(text or spoil_text(true.read_text(), dice))
    preset = find_preset(workspace, STARTERS[folder], "Mine")
    started = get_started_command(STARTERS[folder], preset)
    resolve_settings(workspace, started, {}, preset)


def read_jobs(dice: random.Random, text: bytes | None, workspace: Workspace) -> None:
    """Spoil a file of a job. The other job is listed as before, and what cannot be read of this one is said."""
    run, other = toy_run(workspace, target=3), toy_run(workspace, target=4)
    plan = find_or_create_plan(workspace, "queue", [Step("one", "count"), Step("two", "count")])
    plan.record_step("one", run.id)
    of_run = ("status.json", "settings.yaml", "environment.json", "events.jsonl", "slurm.json")
    of_plan = ("status.json", "plan.yaml", "steps/one.json")
    file = dice.choice([run.folder / name for name in of_run] + [plan.folder / name for name in of_plan])
    true = file.read_text() if file.is_file() else '{"cluster": "c", "jobs": {"run": "5"}}'
    if text is None and file.suffix == ".json" and dice.random() < 0.7:
        text = json.dumps(spoil_values(json.loads(true), dice)).encode()
    file.write_bytes(text or spoil_text(true, dice))
    index = JobIndex(workspace)
    states = {one.job.id: (one.state, one.stage) for one in index.everything}
    assert states.keys() == {run.id, other.id, plan.id}
    assert states[other.id] == ("waiting", "count")
    for read in (run.read_status, run.read_environment, run.read_events, lambda: load_settings(run), plan.read_steps):
        with contextlib.suppress(TFMError):
            read()


def read_table(dice: random.Random, text: bytes | None, workspace: Workspace) -> None:
    rows = [ROW.format(number=number, density=dice.choice([1, 2, "x", 1e300])) + ",3" for number in range(9)]
    cells = [row.split(",") for row in [HEAD + ",subtlety", *rows]]
    if dice.random() < 0.7:
        dice.choice(cells)[dice.randint(0, 8)] = str(dice.choice([*VALUES, "9" * 20, "p " * 900, '"']))
    path = workspace.root / "mass_case_description_train_set.csv"
    workspace.root.mkdir(parents=True, exist_ok=True)
    true = "\n".join(dice.choice([",", ",", ";"]).join(row) for row in cells)
    path.write_bytes(text or (true.encode("utf-8", "surrogatepass") if dice.random() < 0.5 else spoil_text(true, dice)))
    read_cases([path])


READERS: dict[str, Callable[[random.Random, bytes | None, Workspace], None]] = {
    "preset.yaml": read_preset,
    "job.json": read_jobs,
    "table.csv": read_table,
}


def judge(kind: str, seed: int, root: Path, text: bytes | None = None) -> str:
    """What is wrong with the way a text is read; empty if it is read, or refused with a reason, in time."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"longer than {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_SECONDS)
    try:
        READERS[kind](random.Random(f"{kind} {seed}"), text, Workspace(root))
    except TFMError as error:
        return "" if error.message.strip() and error.hint.strip() else "a refusal without a reason"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return ""


def judge_many(kind: str, seeds: range, root: str) -> tuple[dict[int, str], int]:
    """The seeds whose text is read badly, and the memory that the process needed, in MiB."""
    found = {seed: judge(kind, seed, Path(root) / str(seed)) for seed in seeds}
    return {seed: words for seed, words in found.items() if words}, resource.getrusage(
        resource.RUSAGE_SELF
    ).ru_maxrss // 1024
