"""swin_pico: a Swin that one CPU core can train, with three stages where Swin-T has four and a third of its channels.
570,909 parameters for one grey channel; image sides must be multiples of 32. At 224 no window is padded."""

from __future__ import annotations

from timm.models.swin_transformer import SwinTransformer

from tfm.core.errors import SettingsError

PATCH, WINDOW = 8, 7
CHANNELS, DEPTHS, HEADS = 32, (2, 2, 2), (2, 4, 8)
SIDE_MULTIPLE = PATCH * 2 ** (len(DEPTHS) - 1)


class SwinPico(SwinTransformer):  # type: ignore[misc]
    # The attributes in which timm's networks declare their first layer and classifier.
    pretrained_cfg = {"first_conv": "patch_embed.proj", "classifier": "head.fc"}  # noqa: RUF012


def build(dropout: float, in_size: tuple[int, int]) -> SwinPico:
    if any(side % SIDE_MULTIPLE for side in in_size):
        raise SettingsError(
            f"swin_pico cannot take images of {in_size[0]}×{in_size[1]} pixels",
            hint=f"preprocess to a height and width that are multiples of {SIDE_MULTIPLE}, 224×224 for example",
        )
    return SwinPico(
        img_size=in_size,
        patch_size=PATCH,
        in_chans=1,
        num_classes=1,
        embed_dim=CHANNELS,
        depths=DEPTHS,
        num_heads=HEADS,
        window_size=WINDOW,
        drop_rate=dropout,
    )
