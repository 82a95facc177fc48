"""Augmentation depends on seed, epoch and image only, moves masks with images, and is used on training images only."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tfm.core.errors import SettingsError
from tfm.core.runs import worker
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.settings.resolve import resolve
from tfm.training import augment
from tfm.training.batches import Images
from tfm.training.settings import AugmentSettings, ClassifierBatchSettings

OFF = AugmentSettings(mirror=0, upside_down=0, rotation=0, zoom=0, shift=0, brightness=0, contrast=0, gamma=0, noise=0)
STRONG = AugmentSettings(
    mirror=0.5, upside_down=0.5, rotation=30, zoom=0.3, shift=0.2, brightness=0.5, contrast=0.5, gamma=0.5, noise=0.1
)
STRENGTHS = [name for name in AugmentSettings.model_fields if name != "augment"]


def with_strengths(**strengths) -> AugmentSettings:
    return OFF.model_copy(update=strengths)


def make_table(count: int = 1, **amounts) -> augment.Table:
    """Make a table of zeros without flips, except for the named amounts, from -1 to 1."""
    table = np.zeros((count, augment.COLUMNS), dtype=np.float32)
    table[:, [augment.MIRROR, augment.UPSIDE_DOWN]] = 1
    for name, amount in amounts.items():
        table[:, getattr(augment, name)] = amount
    return table


def make_breasts(count: int, height: int, width: int) -> torch.Tensor:
    """Half-discs of uneven tissue on black."""
    down, across = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(0, 1.5, width), indexing="ij")
    tissue = 0.2 + 0.6 * torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(3))
    return tissue * (down**2 + across**2 < 0.7)


def test_table_depends_only_on_seed_and_epoch_and_stays_within_its_bounds():
    table = augment.draw_table(seed=4, epoch=1, count=5000)
    np.random.default_rng().random(100)
    torch.rand(100)
    assert (augment.draw_table(4, 1, 5000) == table).all()
    assert (augment.draw_table(4, 2, 5000) != table).all(axis=1).any()
    assert (augment.draw_table(5, 1, 5000) != table).all(axis=1).any()
    assert table.shape == (5000, augment.COLUMNS)
    assert table.min() >= -1
    assert table.max() < 1
    assert np.abs(np.corrcoef(table.T) - np.eye(augment.COLUMNS)).max() < 0.07, "changes are independent"


@pytest.mark.parametrize(("height", "width"), [(64, 64), (61, 47), (250, 331)])
def test_augmented_image_has_the_same_bits_alone_and_in_any_batch(height, width):
    images, table = make_breasts(9, height, width), augment.draw_table(seed=4, epoch=1, count=9)
    together = augment.augment_images(images, table, STRONG)
    for chosen in ([7], [3, 7, 5], [8, 7, 6, 5, 4]):
        torch.manual_seed(sum(chosen))
        assert torch.equal(augment.augment_images(images[chosen], table[chosen], STRONG), together[chosen])


def test_augmentation_does_not_change_its_input():
    images = make_breasts(3, 64, 48)
    before = images.clone()
    for settings in (STRONG, with_strengths(noise=0.1), with_strengths(gamma=0.5)):
        augment.augment_images(images, augment.draw_table(1, 0, 3), settings)
        assert torch.equal(images, before)


def test_zero_strengths_or_the_switch_leave_images_unchanged():
    images, masks, table = (
        make_breasts(3, 48, 32),
        torch.ones(3, 1, 48, 32, dtype=torch.uint8),
        augment.draw_table(1, 0, 3),
    )
    for settings in (OFF, STRONG.model_copy(update={"augment": False})):
        assert torch.equal(augment.augment_images(images, table, settings), images)
        assert torch.equal(augment.augment_masks(masks, table, settings), masks)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_strength_alone_changes_an_image(name):
    images, table = make_breasts(24, 64, 64), augment.draw_table(1, 0, 24)
    assert not torch.allclose(augment.augment_images(images, table, with_strengths(**{name: 0.3})), images, atol=1e-3)


def test_changing_one_strength_leaves_the_other_changes_as_they_were():
    """Adding a change of brightness only scales the rotated image."""
    images, table = make_breasts(4, 64, 64) / 2, augment.draw_table(1, 0, 4)
    rotated = augment.augment_images(images, table, with_strengths(rotation=20))
    both = augment.augment_images(images, table, with_strengths(rotation=20, brightness=0.4))
    expected = rotated * (1 + 0.4 * torch.from_numpy(table[:, augment.BRIGHTNESS]))[:, None, None, None]
    torch.testing.assert_close(both, expected)


def test_flips_have_the_requested_share():
    image = make_breasts(1, 48, 32)
    half = with_strengths(mirror=0.5, upside_down=0.5)
    torch.testing.assert_close(augment.augment_images(image, make_table(), half), image)
    torch.testing.assert_close(augment.augment_images(image, make_table(MIRROR=-1), half), image.flip(-1))
    torch.testing.assert_close(augment.augment_images(image, make_table(UPSIDE_DOWN=-1), half), image.flip(-2))
    images, table = image.expand(1000, -1, -1, -1)[..., ::8, ::8], augment.draw_table(1, 0, 1000)
    for share in (0.2, 1.0):
        flipped = augment.augment_masks(images, table, with_strengths(mirror=share)) != images
        assert flipped.any(dim=(1, 2, 3)).float().mean() == pytest.approx(share, abs=0.04)


def measure_extent(places: torch.Tensor) -> int:
    return int(places.max() - places.min())


def test_rotation_of_an_oblong_image_keeps_a_square_square():
    image = torch.zeros(1, 1, 96, 48)
    image[..., 40:56, 16:32] = 1
    moved = augment.augment_images(image, make_table(TURN=1), with_strengths(rotation=15))[0, 0] > 0.5
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert abs(int(moved.sum()) - 256) < 12, "its area is unchanged"
    assert abs(measure_extent(rows) - measure_extent(columns)) <= 1, "it is as wide as it is high"


def test_grid_equals_affine_grid_of_torch():
    table = augment.draw_table(2, 0, 5)
    images = torch.zeros(5, 1, 40, 30)
    theirs = torch.nn.functional.affine_grid(
        torch.from_numpy(augment.make_affine(table, STRONG, 30 / 40)), [5, 1, 40, 30], align_corners=False
    )
    torch.testing.assert_close(augment.make_grid(images, table, STRONG), theirs)


def compute_mismatch(images: torch.Tensor, masks: torch.Tensor) -> float:
    """The share of painted pixels in which images and masks disagree."""
    return float(((images > 0.25) != (masks > 0)).sum() / (masks > 0).sum())


def test_masks_move_with_their_images():
    masks = torch.zeros(32, 1, 96, 80, dtype=torch.uint8)
    masks[..., 36:60, 28:52] = 2
    table = augment.draw_table(seed=1, epoch=0, count=32)
    settings = STRONG.model_copy(update={"noise": 0.0, "brightness": 0.0, "contrast": 0.0, "gamma": 0.0})
    squares = (masks > 0).float() / 2
    seen, followed = augment.augment_images(squares, table, settings), augment.augment_masks(masks, table, settings)
    assert followed.dtype == torch.uint8
    assert set(followed.unique().tolist()) == {0, 2}, "no interpolated class"
    assert compute_mismatch(seen, followed) < 0.03, "except at the edge"
    assert compute_mismatch(seen, masks) > 0.3
    another = augment.augment_masks(masks, augment.draw_table(seed=1, epoch=1, count=32), settings)
    assert compute_mismatch(seen, another) > 0.3, "another table gives another mask"


def test_default_augmentation_is_mild():
    image = torch.zeros(64, 1, 64, 64)
    image[..., 24:40, 24:40] = 0.5
    moved = augment.augment_images(image, augment.draw_table(seed=1, epoch=0, count=64), AugmentSettings())
    assert moved.min() >= 0
    assert moved.max() <= 1
    areas = (moved > 0.25).sum(dim=(1, 2, 3))
    assert (areas > 180).all(), "the square of 256 pixels never leaves the image"
    assert (areas < 350).all()


def test_black_background_stays_black():
    images, table = make_breasts(16, 64, 64), augment.draw_table(1, 0, 16)
    tone = STRONG.model_copy(update=dict.fromkeys(("mirror", "upside_down", "rotation", "zoom", "shift"), 0.0))
    changed = augment.augment_images(images, table, tone)
    assert (changed[images == 0] == 0).all()
    assert (changed[images > 0] != images[images > 0]).float().mean() > 0.95
    moved = augment.augment_masks((images > 0).to(torch.uint8), table, STRONG)
    far = torch.nn.functional.max_pool2d(moved.float(), 3, 1, 1) == 0
    assert (augment.augment_images(images, table, STRONG)[far] == 0).all(), (
        "when the breast moves, its surroundings are black"
    )


def compute_tissue_means(images: torch.Tensor) -> torch.Tensor:
    return images.sum(dim=(1, 2, 3)) / (images > 0).sum(dim=(1, 2, 3))


def test_contrast_keeps_the_mean_of_tissue_and_brightness_scales_it():
    images = make_breasts(6, 128, 128) * 0.5
    wider = augment.augment_images(images, make_table(6, CONTRAST=1), with_strengths(contrast=0.3))
    torch.testing.assert_close(compute_tissue_means(wider), compute_tissue_means(images), rtol=0.02, atol=0)
    tissue = images > 0
    assert wider[tissue].std() == pytest.approx(1.3 * float(images[tissue].std()), rel=0.02)
    brighter = augment.augment_images(images, make_table(6, BRIGHTNESS=1), with_strengths(brightness=0.3))
    torch.testing.assert_close(compute_tissue_means(brighter), 1.3 * compute_tissue_means(images))


def test_gamma_changes_only_values_between_black_and_white():
    image = torch.tensor([0.0, 0.25, 0.5, 1.0]).reshape(1, 1, 2, 2)
    up = augment.augment_images(image, make_table(GAMMA=1), with_strengths(gamma=1.0)).flatten()
    down = augment.augment_images(image, make_table(GAMMA=-1), with_strengths(gamma=1.0)).flatten()
    torch.testing.assert_close(up, torch.tensor([0.0, 0.0625, 0.25, 1.0]))
    torch.testing.assert_close(down, torch.tensor([0.0, 0.5, 0.5**0.5, 1.0]))


def test_noise_has_the_drawn_strength_and_is_independent_between_images_and_epochs():
    grey = torch.full((6, 1, 128, 128), 0.5)
    table = augment.draw_table(seed=4, epoch=1, count=6)
    noise = (augment.augment_images(grey, table, with_strengths(noise=0.05)) - grey)[:, 0]
    wanted = 0.05 * torch.from_numpy(table[:, augment.NOISE]).abs()
    torch.testing.assert_close(noise.std(dim=(1, 2)), wanted, rtol=0.03, atol=0)
    assert noise.mean(dim=(1, 2)).abs().max() < 0.002
    later = (augment.augment_images(grey, augment.draw_table(4, 2, 6), with_strengths(noise=0.05)) - grey)[:, 0]
    likeness = np.corrcoef(torch.cat([noise, later]).flatten(1).numpy())
    assert np.abs(likeness - np.eye(12)).max() < 0.05
    shifted = np.corrcoef(noise[0, :, 1:].flatten().numpy(), noise[0, :, :-1].flatten().numpy())[0, 1]
    assert abs(shifted) < 0.05, "neighbours are independent"


@pytest.mark.parametrize("wrong", [{"mirror": 1.1}, {"rotation": -1}, {"noise": 0.6}, {"zoom": 1}, {"gamma": -0.1}])
def test_strength_out_of_bounds_is_refused_by_name(wrong):
    with pytest.raises(SettingsError) as refusal:
        resolve(AugmentSettings, {}, wrong)
    assert refusal.value.fields == tuple(wrong)


def test_augment_switch_is_read_from_old_presets_and_runs():
    assert not resolve(ClassifierBatchSettings, {"batch_size": 8, "augment": False}, {}).augmentation.augment
    assert resolve(ClassifierBatchSettings, {"augment": False}, {"augment": "true"}).augmentation.augment


@pytest.fixture
def tiny(workspace):
    """A run of one epoch, not started."""
    make_small_dataset(workspace)
    return make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", epochs=1)


def test_only_training_images_are_augmented(tiny, monkeypatch):
    augmented = watch_augmentation(monkeypatch)
    finish_run(tiny)
    assert augmented == read_images(tiny, "train")


def test_check_of_augmented_images_notices_an_image_of_another_split(tiny, monkeypatch):
    augmented = watch_augmentation(monkeypatch)
    original = Images.load  # used for images that are not trained on

    def load_augmented(self, chosen):
        changed = augment.augment_images(
            self.load_greys(chosen), augment.draw_table(0, 0, len(chosen)), AugmentSettings()
        )
        assert changed.shape == original(self, chosen).shape
        return self.normalise(changed)

    monkeypatch.setattr(Images, "load", load_augmented)
    worker.execute_run(tiny, stopping=tiny)
    assert augmented == read_images(tiny, "train") | read_images(tiny, "val") | read_images(tiny, "test")


def watch_augmentation(monkeypatch) -> set[bytes]:
    """Collect the bytes of every image that is augmented from now on."""
    augmented: set[bytes] = set()
    original = augment.augment_images

    def augment_and_record(images, table, settings):
        augmented.update(image.numpy().tobytes() for image in (images * 255).round().to(torch.uint8))
        return original(images, table, settings)

    monkeypatch.setattr(augment, "augment_images", augment_and_record)
    return augmented


def read_images(run, split) -> set[bytes]:
    manifest = pd.read_csv(run.workspace.dataset_folder("pocket") / "manifest.csv").set_index("image_id")["split"]
    cache = run.workspace.cache_folder("pocket")
    ids = pd.read_csv(cache / "index.csv")["image_id"]
    images = np.load(cache / "images.npy")
    return {images[row].tobytes() for row, image in enumerate(ids) if manifest[image] == split}


def test_augmentation_settings_change_the_run_and_its_losses(tiny, workspace):
    other = make_train_run(
        workspace, "ResNet18_CFT", **(settings := {"architecture": "test_resnet", "epochs": 1}), noise=0.3
    )
    assert other.id != tiny.id, "another strength makes another run"
    losses = {pd.read_csv(finish_run(run).metrics_file)["train_loss"].iloc[0] for run in (tiny, other)}
    off = make_train_run(workspace, "ResNet18_CFT", **settings, augment=False)
    assert not load_settings(off).batches.augmentation.augment
    losses.add(pd.read_csv(finish_run(off).metrics_file)["train_loss"].iloc[0])
    assert len(losses) == 3
