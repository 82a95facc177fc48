"""Workers that kill themselves with SIGKILL at an exact moment, and a small Swin for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import timm
import torch

from tfm.core.runs.run import Run
from tfm.models import model_spec

PROJECT = Path(__file__).resolve().parents[2]
SWIN = "swin_tiny_patch4_window7_224"
CHILD = """
import sys
from tests.faults import mishaps
mishaps.make_swin_small()
getattr(mishaps, sys.argv.pop(2))(int(sys.argv.pop(2)))
from tfm.core.runs import worker
worker.main()
"""


def make_swin_small(patch: Any = None) -> None:
    """Build Swin with two narrow stages in place of four. All its kinds of layers remain."""
    large = model_spec.build_model

    def small(model: Any, in_size: tuple[int, int], colours: Any = ()) -> torch.nn.Module:
        if model.architecture != SWIN:
            return large(model, in_size, colours)
        size = {"img_size": in_size, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
        return timm.create_model(SWIN, in_chans=1, num_classes=1, drop_path_rate=0.3, drop_rate=model.dropout, **size)

    patch.setattr(model_spec, "build_model", small) if patch else setattr(model_spec, "build_model", small)


def in_the_middle_of_writing(number: int) -> None:
    """Die when half of the n-th checkpoint is on the disk."""
    save, written = torch.save, iter(range(1, 1000))

    def save_and_die(content: Any, file: Any) -> None:
        save(content, file)
        if next(written) == number:
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save_and_die


def between_the_two_renames(number: int) -> None:
    """Die for the n-th time that `last` has become `previous`, before there is a new `last`."""
    replace, made = os.replace, iter(range(1, 1000))

    def save_and_die(source: Path, target: Path) -> None:
        replace(source, target)
        if Path(target).name == "previous.pt" and next(made) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = save_and_die


def run_until_killed(run: Run, moment: str, number: int) -> None:
    command = [sys.executable, "-c", CHILD, str(run.folder), moment, str(number)]
    child = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert child.returncode == -signal.SIGKILL, child.stderr or run.read_status().message
    assert run.read_status().state == "halted"
