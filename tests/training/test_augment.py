"""Augmentation: a pure function of seed, epoch and image; mild, true to its masks, never on film that is black, and
never on an image that isn't for training."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tfm.core.errors import SettingsError
from tfm.core.runs import worker
from tfm.core.runs.command_settings import load_settings
from tfm.core.settings.resolve import resolve
from tfm.training import augment
from tfm.training.batches import Images
from tfm.training.settings import AugmentSettings, ClassifierBatchSettings

OFF = AugmentSettings(mirror=0, upside_down=0, rotation=0, zoom=0, shift=0, brightness=0, contrast=0, gamma=0, noise=0)
STRONG = AugmentSettings(
    mirror=0.5, upside_down=0.5, rotation=30, zoom=0.3, shift=0.2, brightness=0.5, contrast=0.5, gamma=0.5, noise=0.1
)
STRENGTHS = [name for name in AugmentSettings.model_fields if name != "augment"]


def only(**strengths) -> AugmentSettings:
    return OFF.model_copy(update=strengths)


def drawn(count: int = 1, **amounts) -> augment.Table:
    """A table in which only what is named was drawn to its most (1) or least (-1); nothing is flipped."""
    table = np.zeros((count, augment.COLUMNS), dtype=np.float32)
    table[:, [augment.MIRROR, augment.UPSIDE_DOWN]] = 1
    for name, amount in amounts.items():
        table[:, getattr(augment, name)] = amount
    return table


def breasts(count: int, height: int, width: int) -> torch.Tensor:
    """Half-discs of uneven tissue on black."""
    down, across = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(0, 1.5, width), indexing="ij")
    tissue = 0.2 + 0.6 * torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(3))
    return tissue * (down**2 + across**2 < 0.7)


def test_a_table_hangs_on_seed_and_epoch_alone_and_lies_within_its_bounds():
    table = augment.draw_table(seed=4, epoch=1, count=5000)
    np.random.default_rng().random(100)
    torch.rand(100)
    assert (augment.draw_table(4, 1, 5000) == table).all()
    assert (augment.draw_table(4, 2, 5000) != table).all(axis=1).any()
    assert (augment.draw_table(5, 1, 5000) != table).all(axis=1).any()
    assert table.shape == (5000, augment.COLUMNS)
    assert table.min() >= -1
    assert table.max() < 1
    assert np.abs(np.corrcoef(table.T) - np.eye(augment.COLUMNS)).max() < 0.07, "no change tells of another"


@pytest.mark.parametrize(("height", "width"), [(64, 64), (61, 47), (250, 331)])
def test_an_image_comes_out_the_same_bit_for_bit_alone_or_in_any_batch(height, width):
    images, table = breasts(9, height, width), augment.draw_table(seed=4, epoch=1, count=9)
    together = augment.augment_images(images, table, STRONG)
    for chosen in ([7], [3, 7, 5], [8, 7, 6, 5, 4]):
        torch.manual_seed(sum(chosen))
        assert torch.equal(augment.augment_images(images[chosen], table[chosen], STRONG), together[chosen])


def test_the_caller_keeps_its_images():
    images = breasts(3, 64, 48)
    kept = images.clone()
    for settings in (STRONG, only(noise=0.1), only(gamma=0.5)):
        augment.augment_images(images, augment.draw_table(1, 0, 3), settings)
        assert torch.equal(images, kept)


def test_with_everything_off_nothing_changes_and_the_switch_turns_everything_off():
    images, masks, table = breasts(3, 48, 32), torch.ones(3, 1, 48, 32, dtype=torch.uint8), augment.draw_table(1, 0, 3)
    for settings in (OFF, STRONG.model_copy(update={"augment": False})):
        assert torch.equal(augment.augment_images(images, table, settings), images)
        assert torch.equal(augment.augment_masks(masks, table, settings), masks)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_strength_changes_an_image_by_itself(name):
    images, table = breasts(24, 64, 64), augment.draw_table(1, 0, 24)
    assert not torch.allclose(augment.augment_images(images, table, only(**{name: 0.3})), images, atol=1e-3)


def test_another_strength_of_one_change_leaves_the_draw_of_the_others():
    """Twice the rotation with no brightness turns as before; brightness then only scales what was turned."""
    images, table = breasts(4, 64, 64) / 2, augment.draw_table(1, 0, 4)
    turned = augment.augment_images(images, table, only(rotation=20))
    both = augment.augment_images(images, table, only(rotation=20, brightness=0.4))
    expected = turned * (1 + 0.4 * torch.from_numpy(table[:, augment.BRIGHTNESS]))[:, None, None, None]
    torch.testing.assert_close(both, expected)


def test_flips_are_flips_and_as_many_as_asked_for():
    image = breasts(1, 48, 32)
    half = only(mirror=0.5, upside_down=0.5)
    torch.testing.assert_close(augment.augment_images(image, drawn(), half), image)
    torch.testing.assert_close(augment.augment_images(image, drawn(MIRROR=-1), half), image.flip(-1))
    torch.testing.assert_close(augment.augment_images(image, drawn(UPSIDE_DOWN=-1), half), image.flip(-2))
    images, table = image.expand(1000, -1, -1, -1)[..., ::8, ::8], augment.draw_table(1, 0, 1000)
    for share in (0.2, 1.0):
        flipped = augment.augment_masks(images, table, only(mirror=share)) != images
        assert flipped.any(dim=(1, 2, 3)).float().mean() == pytest.approx(share, abs=0.04)


def extent(places: torch.Tensor) -> int:
    return int(places.max() - places.min())


def test_turning_an_oblong_image_keeps_a_square_square():
    image = torch.zeros(1, 1, 96, 48)
    image[..., 40:56, 16:32] = 1
    moved = augment.augment_images(image, drawn(TURN=1), only(rotation=15))[0, 0] > 0.5
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert abs(int(moved.sum()) - 256) < 12, "its area stays"
    assert abs(extent(rows) - extent(columns)) <= 1, "it is as wide as it is high"


def test_the_grid_is_torchs_own():
    table = augment.draw_table(2, 0, 5)
    images = torch.zeros(5, 1, 40, 30)
    theirs = torch.nn.functional.affine_grid(
        torch.from_numpy(augment.make_affine(table, STRONG, 30 / 40)), [5, 1, 40, 30], align_corners=False
    )
    torch.testing.assert_close(augment.make_grid(images, table, STRONG), theirs)


def moved_apart(images: torch.Tensor, masks: torch.Tensor) -> float:
    """The share of painted pixels in which images and masks disagree."""
    return float(((images > 0.25) != (masks > 0)).sum() / (masks > 0).sum())


def test_a_painted_square_and_its_mask_stay_one_thing():
    masks = torch.zeros(32, 1, 96, 80, dtype=torch.uint8)
    masks[..., 36:60, 28:52] = 2
    table = augment.draw_table(seed=1, epoch=0, count=32)
    settings = STRONG.model_copy(update={"noise": 0.0, "brightness": 0.0, "contrast": 0.0, "gamma": 0.0})
    squares = (masks > 0).float() / 2
    seen, followed = augment.augment_images(squares, table, settings), augment.augment_masks(masks, table, settings)
    assert followed.dtype == torch.uint8
    assert set(followed.unique().tolist()) == {0, 2}, "no class in between"
    assert moved_apart(seen, followed) < 0.03, "but for a pixel here and there on the rim"
    assert moved_apart(seen, masks) > 0.3
    another = augment.augment_masks(masks, augment.draw_table(seed=1, epoch=1, count=32), settings)
    assert moved_apart(seen, another) > 0.3, "the proof notices masks that follow another draw"


def test_augmentation_is_mild():
    image = torch.zeros(64, 1, 64, 64)
    image[..., 24:40, 24:40] = 0.5
    moved = augment.augment_images(image, augment.draw_table(seed=1, epoch=0, count=64), AugmentSettings())
    assert moved.min() >= 0
    assert moved.max() <= 1
    areas = (moved > 0.25).sum(dim=(1, 2, 3))
    assert (areas > 180).all(), "the square of 256 pixels never leaves the image"
    assert (areas < 350).all()


def test_what_is_black_stays_black():
    images, table = breasts(16, 64, 64), augment.draw_table(1, 0, 16)
    tone = STRONG.model_copy(update=dict.fromkeys(("mirror", "upside_down", "rotation", "zoom", "shift"), 0.0))
    changed = augment.augment_images(images, table, tone)
    assert (changed[images == 0] == 0).all()
    assert (changed[images > 0] != images[images > 0]).float().mean() > 0.95
    moved = augment.augment_masks((images > 0).to(torch.uint8), table, STRONG)
    far = torch.nn.functional.max_pool2d(moved.float(), 3, 1, 1) == 0
    assert (augment.augment_images(images, table, STRONG)[far] == 0).all(), (
        "when the breast moves, its surroundings are black"
    )


def tissue_means(images: torch.Tensor) -> torch.Tensor:
    return images.sum(dim=(1, 2, 3)) / (images > 0).sum(dim=(1, 2, 3))


def test_contrast_widens_the_grey_values_about_the_mean_of_tissue_and_brightness_moves_it():
    images = breasts(6, 128, 128) * 0.5
    wider = augment.augment_images(images, drawn(6, CONTRAST=1), only(contrast=0.3))
    torch.testing.assert_close(tissue_means(wider), tissue_means(images), rtol=0.02, atol=0)
    tissue = images > 0
    assert wider[tissue].std() == pytest.approx(1.3 * float(images[tissue].std()), rel=0.02)
    brighter = augment.augment_images(images, drawn(6, BRIGHTNESS=1), only(brightness=0.3))
    torch.testing.assert_close(tissue_means(brighter), 1.3 * tissue_means(images))


def test_gamma_bends_what_lies_between_black_and_white():
    image = torch.tensor([0.0, 0.25, 0.5, 1.0]).reshape(1, 1, 2, 2)
    up = augment.augment_images(image, drawn(GAMMA=1), only(gamma=1.0)).flatten()
    down = augment.augment_images(image, drawn(GAMMA=-1), only(gamma=1.0)).flatten()
    torch.testing.assert_close(up, torch.tensor([0.0, 0.0625, 0.25, 1.0]))
    torch.testing.assert_close(down, torch.tensor([0.0, 0.5, 0.5**0.5, 1.0]))


def test_noise_is_as_strong_as_drawn_even_and_another_for_each_image_and_epoch():
    grey = torch.full((6, 1, 128, 128), 0.5)
    table = augment.draw_table(seed=4, epoch=1, count=6)
    noise = (augment.augment_images(grey, table, only(noise=0.05)) - grey)[:, 0]
    wanted = 0.05 * torch.from_numpy(table[:, augment.NOISE]).abs()
    torch.testing.assert_close(noise.std(dim=(1, 2)), wanted, rtol=0.03, atol=0)
    assert noise.mean(dim=(1, 2)).abs().max() < 0.002
    later = (augment.augment_images(grey, augment.draw_table(4, 2, 6), only(noise=0.05)) - grey)[:, 0]
    likeness = np.corrcoef(torch.cat([noise, later]).flatten(1).numpy())
    assert np.abs(likeness - np.eye(12)).max() < 0.05
    shifted = np.corrcoef(noise[0, :, 1:].flatten().numpy(), noise[0, :, :-1].flatten().numpy())[0, 1]
    assert abs(shifted) < 0.05, "neighbours are independent"


@pytest.mark.parametrize("wrong", [{"mirror": 1.1}, {"rotation": -1}, {"noise": 0.6}, {"zoom": 1}, {"gamma": -0.1}])
def test_a_strength_out_of_bounds_is_refused_and_named(wrong):
    with pytest.raises(SettingsError) as refusal:
        resolve(AugmentSettings, {}, wrong)
    assert refusal.value.fields == tuple(wrong)


def test_the_switch_is_found_where_presets_and_runs_have_always_had_it():
    assert not resolve(ClassifierBatchSettings, {"batch_size": 8, "augment": False}, {}).augmentation.augment
    assert resolve(ClassifierBatchSettings, {"augment": False}, {"augment": "true"}).augmentation.augment


@pytest.fixture
def tiny(workspace):
    """A training of one epoch that was not started."""
    make_small_dataset(workspace)
    return make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", epochs=1)


def test_augmentation_never_touches_test(tiny, monkeypatch):
    """Nor validation."""
    touched = spied(monkeypatch)
    finish_run(tiny)
    assert touched == films_of(tiny, "train")


def test_the_watch_over_augmentation_notices_an_image_of_another_split(tiny, monkeypatch):
    touched = spied(monkeypatch)
    really = Images.load  # the way of images that are not trained on

    def planted(self, chosen):
        changed = augment.augment_images(
            self.load_greys(chosen), augment.draw_table(0, 0, len(chosen)), AugmentSettings()
        )
        assert changed.shape == really(self, chosen).shape
        return self.normalise(changed)

    monkeypatch.setattr(Images, "load", planted)
    worker.execute_run(tiny, stopping=tiny)
    assert touched == films_of(tiny, "train") | films_of(tiny, "val") | films_of(tiny, "test")


def spied(monkeypatch) -> set[bytes]:
    """The bytes of every image that is augmented from now on."""
    touched: set[bytes] = set()
    really = augment.augment_images

    def noted(images, drawn, settings):
        touched.update(image.numpy().tobytes() for image in (images * 255).round().to(torch.uint8))
        return really(images, drawn, settings)

    monkeypatch.setattr(augment, "augment_images", noted)
    return touched


def films_of(run, split) -> set[bytes]:
    manifest = pd.read_csv(run.workspace.dataset_folder("pocket") / "manifest.csv").set_index("image_id")["split"]
    cache = run.workspace.cache_folder("pocket")
    ids = pd.read_csv(cache / "index.csv")["image_id"]
    films = np.load(cache / "images.npy")
    return {films[row].tobytes() for row, image in enumerate(ids) if manifest[image] == split}


def test_what_is_trained_on_is_augmented_as_the_run_says(tiny, workspace):
    other = make_train_run(
        workspace, "ResNet18_CFT", **(settings := {"architecture": "test_resnet", "epochs": 1}), noise=0.3
    )
    assert other.id != tiny.id, "another strength is another run"
    losses = {pd.read_csv(finish_run(run).metrics_file)["train_loss"].iloc[0] for run in (tiny, other)}
    off = make_train_run(workspace, "ResNet18_CFT", **settings, augment=False)
    assert not load_settings(off).batches.augmentation.augment
    losses.add(pd.read_csv(finish_run(off).metrics_file)["train_loss"].iloc[0])
    assert len(losses) == 3
