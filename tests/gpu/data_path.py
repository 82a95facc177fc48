"""Images a second from a cache, beside the usual way: a folder of PNG files, read and augmented by loader workers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tests.gpu.checks import Check, ImageSize, Outcome, Scale
from tests.gpu.training_speed import NAMES, Stepper, find_fitting_batch, wait_for_gpu
from tests.training.bare_training import take_bare_step
from tfm.data.phantom.download_plan import Exposure, Lesion
from tfm.data.phantom.mammogram import draw_mammogram
from tfm.models.normalisation import Normalisation
from tfm.training import augment
from tfm.training.batches import Batch
from tfm.training.device import configure_torch
from tfm.training.settings import AugmentSettings
from tfm.training.state import Training

NAME = "ResNet18"
WORKERS = 4
PHANTOMS = 8
QUEUED = 2 * WORKERS  # batches that workers prepare before the first step


def list_data_checks(scale: Scale) -> list[Check]:
    return [
        Check(
            f"images from a cache, {NAME}, {scale.middle_size}, bf16",
            lambda: compare_to_png_folder(scale, scale.middle_size),
        )
    ]


class PngFolder(Dataset[tuple[torch.Tensor, float]]):
    """Read and augment one image at a time, by the program's own augmentation."""

    def __init__(self, files: list[Path], normalisation: Normalisation) -> None:
        self.files, self.normalisation = files, normalisation
        self.table = augment.draw_table(seed=1, epoch=0, count=len(files))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, float]:
        image = torch.from_numpy(cv2.imread(str(self.files[number]), cv2.IMREAD_GRAYSCALE))
        grey = image[None, None].to(torch.float32).div_(255)
        changed = augment.augment_images(grey, self.table[number : number + 1], AugmentSettings())
        return (changed[0] - self.normalisation.mean) / self.normalisation.deviation, float(number % 2)


def compare_to_png_folder(scale: Scale, size: ImageSize) -> Outcome:
    """Both train the same network with the same augmentation, from files that the system keeps in memory."""
    configure_torch(torch.get_num_threads(), deterministic=False)

    def measure(batch: int, folder: Path) -> Outcome:
        images, steps = draw_phantoms(size.shape), scale.loader_images // batch
        stepper = Stepper(scale, folder, images, size.warm + steps, NAMES[NAME], {"batch_size": batch})
        ours = time_steps(stepper.take_step, size.warm, steps, scale)
        files = write_png_files(folder, images, (QUEUED + steps) * batch)
        theirs = time_steps(repeat_png_step(stepper.training, files), QUEUED, steps, scale)
        return scale.judge(
            f"batch {batch}: {batch / ours:.0f} images/s, {batch / theirs:.0f} from a PNG folder with {WORKERS} loader "
            f"workers; {theirs / ours:.2f} times as fast",
            theirs / ours,
            least=3,
        )

    return find_fitting_batch(measure, size)


def repeat_png_step(training: Training, files: list[Path]) -> Callable[[], None]:
    """A bare step on the next batch of a PNG folder."""
    device = training.device
    loader = DataLoader(
        PngFolder(files, training.train.normalisation),
        training.batch_size,
        shuffle=True,
        num_workers=WORKERS,
        pin_memory=device.type == "cuda",
        worker_init_fn=use_one_thread,
    )
    batches = iter(loader)

    def take_step() -> None:
        images, labels = (tensor.to(device, non_blocking=True) for tensor in next(batches))
        take_bare_step(training, Batch(images, {"labels": labels.float()}))

    return take_step


def draw_phantoms(size: tuple[int, int]) -> np.ndarray:  # (PHANTOMS, H, W) uint8
    height, width = size
    lesions = (Lesion(1, "mass", malignant=True),)
    exposures = [Exposure(seed, "P_00001", "LEFT", "CC", 2, 512, 0.1, lesions) for seed in range(PHANTOMS)]
    drawn = [draw_mammogram(exposure).image for exposure in exposures]
    return np.stack(
        [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) // 256 for image in drawn]
    ).astype(np.uint8)


def write_png_files(folder: Path, images: np.ndarray, count: int) -> list[Path]:
    """List so many files: each image is listed again and again."""
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image)
    return list(itertools.islice(itertools.cycle(paths), count))


def use_one_thread(_worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def time_steps(step: Callable[[], None], warm: int, timed: int, scale: Scale) -> float:
    """Seconds a step, without waiting for the GPU between two."""
    for _ in range(warm):
        step()
    wait_for_gpu(scale)
    started = time.perf_counter()
    for _ in range(timed):
        step()
    wait_for_gpu(scale)
    return (time.perf_counter() - started) / timed
