"""Settings of training, as questions and help texts. Settings of the model itself live in models."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tfm.core.settings.base import IMPORTANT, NOT_IN_RUN_KEY, NoEffectUnless, NoEffectWhen, Settings


def _check_device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda:\d+", text):
        raise ValueError("choose auto, cpu or cuda:N")
    return text


DEFAULT_SEED = 7
NOT_IN_A_REGRESSION = NoEffectWhen("trained", "none")  # frozen features need no training steps
# The seed draws first weights and which labels are kept: nothing for a regression on given features and labels.
NOTHING_DRAWN = NoEffectWhen(
    "trained",
    "none",
    also=(
        NoEffectUnless("weights", "none"),
        NoEffectWhen("label_percent", 100),
        NoEffectWhen("lesion_guidance", "none"),  # which draws places and folds
    ),
)
_WITHOUT_AUGMENTATION = NoEffectWhen("augment", False)
_WITHOUT_TREES = NoEffectWhen("learner", "logistic")
# Loss terms on features or attention have no gradient where only the head is trained.
_FROZEN_FEATURES = NoEffectWhen("trained", "head", "none")
YOUDEN, SENSITIVITY = "youden", "sensitivity:"


def _check_rule(text: str) -> str:
    """Write the share in one way, so that equal rules are equal text."""
    if text == YOUDEN:
        return text
    with contextlib.suppress(ValueError):
        share = float(text.removeprefix(SENSITIVITY))
        if text.startswith(SENSITIVITY) and 0 < share <= 1:
            return f"{SENSITIVITY}{share}"
    raise ValueError(f"choose {YOUDEN}, or {SENSITIVITY}S with S above 0 and at most 1, as in {SENSITIVITY}0.9")


# Settings of several commands, each with its text.
Seed = Annotated[
    int,
    Field(
        description="Seed of everything random\nInitial weights, order of the images, augmentation, dropout and "
        "whatever else is drawn. Runs with other seeds show how much a result depends on chance."
    ),
]
CONTINUED = Field(
    description="Which run do you want to continue with more epochs?\nTraining continues from its last checkpoint. The "
    "learning rate follows the curve for the new number of epochs, so it rises again if the old run had ended. Early "
    "stopping counts anew."
)
ThresholdRule = Annotated[
    str,
    AfterValidator(_check_rule),
    Field(
        description="How should the threshold for malignant be chosen: youden or sensitivity:S?\nIt is chosen on the "
        "validation images. youden: the threshold with the highest sum of sensitivity and specificity. "
        "sensitivity:0.9: the highest threshold that finds 90 of 100 malignant images; the share is yours to choose."
    ),
]
Pooling = Annotated[
    Literal["average", "breast"],
    Field(
        description="Average the last features over the whole image or over the breast?\naverage: over the whole "
        "image, as the model's authors do. breast: over the breast only, weighted by the breast mask; for models with "
        "a feature map: Swin and timm's convolutional networks."
    ),
]
BackgroundContrast = Annotated[
    float,
    Field(
        ge=0,
        description="Weight of the contrast term between breast and background\nIt adds the cosine similarity of their "
        "features to the loss, so that the model separates them. 0: not used; try 0.1.",
    ),
]
SpectralWeight = Annotated[
    float,
    Field(
        ge=0,
        description="Weight of the spectral norm of the attention layers\nIt limits how sharp the attention of a Swin "
        "encoder can become. 0: not used, as for an encoder without attention; try 0.001.",
    ),
]
AttentionSinkWeight = Annotated[
    float,
    Field(
        ge=0,
        description="Weight of the penalty on attention sinks of a Swin encoder\nIt penalises attention that "
        "concentrates on the same few places. Uniform attention, or attention of each place to itself, is not "
        "penalised. 0: not used; try 0.001.",
    ),
]
LossOn = Annotated[
    Literal["breast", "masked"],
    Field(
        description="Which part of the breast counts in the loss: breast or masked?\nbreast: the whole breast. masked: "
        "only the masked blocks."
    ),
]

Tile = Annotated[
    Annotated[int, Field(ge=32, multiple_of=16)] | None,
    Field(
        description="Side of the square tiles cut out for training, in pixels\nFor images that are too large to train "
        "on whole: 512 for the preset highres. Validation and test then process whole images tile by tile. None: whole "
        "images."
    ),
]
LesionTiles = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Share of the training tiles that show a lesion\nThe others are anywhere in the image.",
    ),
]


class AugmentSettings(Settings):
    augment: bool = True
    """Augment the training images at random?
    Each epoch changes position, grey values and noise anew. Validation and test images are never changed, and the black
    background stays black."""
    mirror: Annotated[float, Field(ge=0, le=1), _WITHOUT_AUGMENTATION] = 0.5
    """Share of the images that are mirrored left to right
    0: none."""
    upside_down: Annotated[float, Field(ge=0, le=1), _WITHOUT_AUGMENTATION] = 0.5
    """Share of the images that are flipped upside down
    0: none."""
    rotation: Annotated[float, Field(ge=0, le=180), _WITHOUT_AUGMENTATION] = 15.0
    """Largest rotation to either side, in degrees
    0: no rotation."""
    zoom: Annotated[float, Field(ge=0, le=0.5), _WITHOUT_AUGMENTATION] = 0.1
    """Largest enlargement or reduction, as a share
    0: no zoom."""
    shift: Annotated[float, Field(ge=0, le=0.5), _WITHOUT_AUGMENTATION] = 0.06
    """Largest shift each way, as a share of the image's side
    0: no shift."""
    brightness: Annotated[float, Field(ge=0, le=0.9), _WITHOUT_AUGMENTATION] = 0.15
    """Largest change of brightness, as a share
    0: no change."""
    contrast: Annotated[float, Field(ge=0, le=0.9), _WITHOUT_AUGMENTATION] = 0.15
    """Largest change of contrast, as a share
    Grey values move away from the mean of the breast, or towards it. 0: no change."""
    gamma: Annotated[float, Field(ge=0, le=2), _WITHOUT_AUGMENTATION] = 0.15
    """Largest departure of gamma from 1, as a share
    Gamma changes the grey values between black and white. 0: no change."""
    noise: Annotated[float, Field(ge=0, le=0.5), _WITHOUT_AUGMENTATION] = 0.02
    """Largest standard deviation of the added noise, as a share of white
    0: no noise."""


class BatchSettings(Settings):
    batch_size: Annotated[Literal["auto"] | Annotated[int, Field(ge=2)], IMPORTANT] = 16
    """Batch size: images on the device at once, or auto
    A larger batch needs more memory, and allows a larger learning rate. auto: the largest size that fits, at most 64;
    it is found before the first step and kept for the whole run."""
    accumulate: Annotated[int, Field(ge=1), NOT_IN_A_REGRESSION] = 1
    """Batches whose gradients are added up for one step of the optimizer
    The effect of a batch that many times as large, in the memory of one. Batch normalisation still sees single
    batches."""
    augmentation: Annotated[AugmentSettings, NOT_IN_A_REGRESSION] = AugmentSettings()


class ClassifierBatchSettings(BatchSettings):
    balance: Literal["weights", "sampling", "none"] = "weights"
    """How to balance benign and malignant images
    weights: by weights in the loss. sampling: each epoch takes as many of each and repeats the rarer ones; not for a
    regression on frozen features, which has no epochs. none: no balancing."""


class SegmenterBatchSettings(BatchSettings):
    balance: Literal["sampling", "none"] = "none"
    """How to balance benign and malignant images
    sampling: each epoch takes as many of each and repeats the rarer ones. none: each image once. The weights of the
    pixel classes are a setting of their own."""


class OptimizerSettings(Settings):
    epochs: Annotated[int, Field(ge=1), IMPORTANT] = 60
    """Epochs: passes over the training images"""
    learning_rate: Annotated[float, Field(gt=0), IMPORTANT] = 3e-4
    """Highest learning rate
    It rises during the warm-up and then falls along a cosine to zero."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimizer"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay
    Biases and normalisation layers have none."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    """Warm-up: epochs over which the learning rate rises"""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient
    A longer gradient is shortened to it. None: no clipping."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, for example 0.999
    Validation, the best checkpoint and the predictions then use the average. Its decay rises from zero over the first
    steps. None: no average."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Early stopping: epochs without improvement before training stops
    Improvement of the validation metric that chooses the best epoch, which is AUC for a classifier. None: no early
    stopping."""


class SupervisedOptimizerSettings(OptimizerSettings):
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing: share by which the labels move towards one half"""


class BreastSettings(Settings):
    pooling: Pooling = "average"
    background_contrast: Annotated[BackgroundContrast, _FROZEN_FEATURES] = 0.0
    beta: Annotated[SpectralWeight, _FROZEN_FEATURES] = 0.0
    attention_gamma: Annotated[AttentionSinkWeight, _FROZEN_FEATURES] = 0.0


class LesionSettings(Settings):
    mask_weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the lesion masks in the loss
    The loss of the image's label has weight 1. Lesions and background weigh the same in a mask."""
    tile: Tile = None
    lesion_tiles: Annotated[LesionTiles, NoEffectWhen("tile", None)] = 0.75
    fit_heads: Annotated[bool, NoEffectUnless("tile", None)] = True
    """Fit both heads by regressions on the first features, before the first epoch?
    As in a model of which nothing is trained. Training then starts from heads that suit the encoder, and its first
    validation is that of the regressions. Choose a low learning rate with it, and freeze_batch_norm."""


class MaskSettings(Settings):
    block: Annotated[int, Field(ge=4)] = 32
    """Side of the masked square blocks, in pixels
    Preferably a multiple of the encoder's patch size: 32 is one place of a Swin encoder's last feature map."""
    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of a block that must be breast for the block to be masked
    The black background teaches nothing."""
    share: Annotated[float, Field(gt=0, le=1), IMPORTANT] = 0.5
    """Share of the breast's blocks that are masked
    Each epoch masks other blocks, at least one in each image."""
    fill: Literal["token", "zeros"] = "token"
    """What replaces a masked block
    token: a learned block, the same everywhere. zeros: the grey value that is zero after normalisation, which is the
    breast's mean unless the first weights are pretrained."""


class DeviceSettings(Settings):
    deterministic: bool = True
    """Compute deterministically, so that a run always gives the same bits?
    On a GPU this costs some time. Without it, a run that was stopped and resumed gives slightly different results."""
    device: Annotated[str, AfterValidator(_check_device), NOT_IN_RUN_KEY] = "auto"
    """Device: auto, cpu or cuda:N
    auto: the first working GPU, otherwise the CPU."""
    threads: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], NOT_IN_RUN_KEY] = "auto"
    """Number of CPU threads"""


class MachineSettings(DeviceSettings):
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numerical precision
    bf16 and fp16 are faster on GPUs that support them, and less exact; the weights stay in fp32. With fp32, NVIDIA GPUs
    from 2020 on round the inputs of convolutions to TF32, which is PyTorch's default."""
    channels_last: bool = False
    """Use the channels-last memory format?
    Faster for many convolutional networks on CPUs and GPUs; the last bits of the results differ."""
    compile: Annotated[bool, NOT_IN_A_REGRESSION] = False
    """Compile the model with torch.compile?
    Each start takes a minute or more, which pays off in long runs on a GPU. The last bits of the results differ from
    those without; a run that is stopped and resumed still ends with the same bits."""
    devices: Annotated[int, Field(ge=1), NOT_IN_A_REGRESSION] = 1
    """Number of GPUs
    The chosen GPU and those after it. Each computes its own batches, so a step has that many times as many images, and
    allows a larger learning rate. Batch normalisation sees the batch of its own GPU. On a CPU, this is the number of
    processes, and only useful for a test."""
    nodes: Annotated[int, Field(ge=1), NOT_IN_A_REGRESSION] = 1
    """Number of machines, each with that many GPUs
    On a cluster, Slurm starts them all; otherwise the run prints the command to start on the other machines. They must
    reach this machine by its host name, have the program and the workspace in the same place, and have free GPUs."""
    checkpoint_seconds: Annotated[float, Field(ge=0), NOT_IN_RUN_KEY, NOT_IN_A_REGRESSION] = 60.0
    """Seconds between two checkpoints within an epoch
    Longer where writing is slow: it takes at most a fiftieth of the time."""


Embedding = Literal["pool2048", "dense128"]
Projection = Literal["pca", "tsne"]


class LearnerSettings(Settings):
    embedding: Annotated[Embedding, IMPORTANT] = "pool2048"
    """Features to train on
    pool2048: the average of the last feature map. dense128: the output of the hidden layer of the head. The numbers are
    those of ResNet50_Head; other networks have other widths."""
    learner: Annotated[Literal["forest", "logistic", "boosting"], IMPORTANT] = "forest"
    """Classifier to train on the features
    forest: a random forest. logistic: a logistic regression on standardised features. boosting: gradient-boosted trees.
    Other parameters have scikit-learn's defaults."""
    trees: Annotated[int, Field(ge=1), IMPORTANT, _WITHOUT_TREES] = 100
    """Number of trees
    More trees rarely hurt, but need more time and memory."""
    depth: Annotated[Annotated[int, Field(ge=1)] | None, _WITHOUT_TREES] = None
    """Maximum depth of a tree
    None: no limit."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weigh benign and malignant images equally
    balanced: both classes have the same total weight. none: each image has weight 1."""


class SegmentationSettings(Settings):
    classes: Annotated[Literal["malignancy", "kind", "lesion"], IMPORTANT] = "malignancy"
    """Classes to segment: malignancy, kind or lesion
    malignancy: background, benign, malignant mass, malignant calcification. kind: background, benign without callback,
    mass, calcification (the last two were called back, with any outcome). lesion: background, lesion."""
    pixel_loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """Pixel loss, in addition to the Dice loss of the lesion classes
    focal gives less weight to pixels that are already correct."""
    class_weights: Literal["rarity", "none"] = "rarity"
    """Give pixels of rare classes more weight
    rarity: the square root of how many times rarer than background the class is; without the root, lesions would be
    drawn far beyond their border. none: all pixels weigh the same. The Dice loss is not affected."""
    tile: Tile = None
    lesion_tiles: Annotated[LesionTiles, NoEffectWhen("tile", None)] = 0.75
    window_overlap: Annotated[float, Field(ge=0, le=0.9), NoEffectWhen("tile", None)] = 0.5
    """Overlap of neighbouring tiles in validation and test, as a share
    Where tiles overlap, pixels near the middle of a tile weigh more."""
