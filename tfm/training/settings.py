"""What a person may choose about training. The network's own choices stand in the models floor."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tfm.core.settings.schema import IMPORTANT, NOT_IN_RUN_KEY, NoEffectUnless, NoEffectWhen, Settings


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda:\d+", text):
        raise ValueError("choose auto, cpu or cuda:N")
    return text


DEFAULT_SEED = 7
NOT_IN_A_REGRESSION = NoEffectWhen("trained", "none")  # on frozen features, which takes no steps
# It draws the first weights and whose labels are kept; of a regression on given features to given labels, nothing.
NOTHING_DRAWN = NoEffectWhen(
    "trained", "none", also=(NoEffectUnless("weights", "none"), NoEffectWhen("label_percent", 100))
)
_WHERE_CHANGED = NoEffectWhen("augment", False)
_WHERE_TREES_GROW = NoEffectWhen("learner", "logistic")
# Of a network that learns nothing before its head: what is asked of features or attention has no gradient.
_FROZEN_FEATURES = NoEffectWhen("trained", "head", "none")
YOUDEN, SENSITIVITY = "youden", "sensitivity:"


def _rule(text: str) -> str:
    """The share in one spelling: equal rules are one."""
    if text == YOUDEN:
        return text
    with contextlib.suppress(ValueError):
        share = float(text.removeprefix(SENSITIVITY))
        if text.startswith(SENSITIVITY) and 0 < share <= 1:
            return f"{SENSITIVITY}{share}"
    raise ValueError(f"choose {YOUDEN}, or {SENSITIVITY}S with S above 0 and at most 1, as in {SENSITIVITY}0.9")


ThresholdRule = Annotated[str, AfterValidator(_rule)]


Pooling = Literal["average", "breast"]
Unlabelled = Literal["ignore", "pseudo", "consistency"]


class AugmentSettings(Settings):
    augment: bool = True
    """Change the training images at random: place, tone and noise, each as strong as its own setting
    Anew each epoch; validation and test images are never touched. What is black around the breast stays black."""
    mirror: Annotated[float, Field(ge=0, le=1), _WHERE_CHANGED] = 0.5
    """Share of the images that are mirrored
    0: none."""
    upside_down: Annotated[float, Field(ge=0, le=1), _WHERE_CHANGED] = 0.5
    """Share of the images that are turned upside down
    0: none."""
    rotation: Annotated[float, Field(ge=0, le=180), _WHERE_CHANGED] = 15.0
    """Degrees by which an image is turned at most, to either side
    0: not at all."""
    zoom: Annotated[float, Field(ge=0, le=0.5), _WHERE_CHANGED] = 0.1
    """Share by which an image is enlarged or reduced at most
    0: not at all."""
    shift: Annotated[float, Field(ge=0, le=0.5), _WHERE_CHANGED] = 0.06
    """Share of its side by which an image is shifted at most, each way
    0: not at all."""
    brightness: Annotated[float, Field(ge=0, le=0.9), _WHERE_CHANGED] = 0.15
    """Share by which tissue is brightened or darkened at most
    0: not at all."""
    contrast: Annotated[float, Field(ge=0, le=0.9), _WHERE_CHANGED] = 0.15
    """Share by which tissue moves away from its own mean, or towards it, at most
    0: not at all."""
    gamma: Annotated[float, Field(ge=0, le=2), _WHERE_CHANGED] = 0.15
    """Share by which gamma departs from one at most, up or down
    It bends the grey values between black and white, which stay. 0: not at all."""
    noise: Annotated[float, Field(ge=0, le=0.5), _WHERE_CHANGED] = 0.02
    """Deviation of the noise on tissue at most, as a share of white
    0: none."""


class UnlabelledBatches(Settings):
    batch_size: Annotated[Literal["auto"] | Annotated[int, Field(ge=2)], IMPORTANT] = 16
    """Images that are on the device at once, or auto
    More need more memory; the learning rate may then grow too. auto: tried out before the first step, at most 64, and
    kept for the whole run."""
    accumulate: Annotated[int, Field(ge=1), NOT_IN_A_REGRESSION] = 1
    """Batches whose gradients are added up for one step of the optimizer
    As a batch that many times as large, in the memory of one; but for layers that look at a whole batch."""
    augmentation: Annotated[AugmentSettings, NOT_IN_A_REGRESSION] = AugmentSettings()


class BatchSettings(UnlabelledBatches):
    balance: Literal["weights", "sampling", "none"] = "weights"
    """How benign and malignant come to weigh the same, however many there are of each
    weights: in the loss. sampling: each epoch takes as many of each, the rarer ones many times; a regression on frozen
    features has no epochs, and takes weights or none. none: not at all."""


class SegmentBatches(UnlabelledBatches):
    balance: Literal["sampling", "none"] = "none"
    """Whether each epoch takes as many malignant images as benign ones
    sampling: it does, the rarer ones many times. none: each image once. How much a pixel of each class weighs is a
    matter of its own."""


class UnlabelledOptim(Settings):
    epochs: Annotated[int, Field(ge=1), IMPORTANT] = 60
    """Passes over the training images"""
    learning_rate: Annotated[float, Field(gt=0), IMPORTANT] = 3e-4
    """Learning rate at its highest
    It rises over the warm-up and then falls along a cosine to zero."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimizer"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay
    Biases and normalisation layers are spared."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    """Epochs over which the learning rate rises"""
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    """Norm to which a longer gradient is shortened
    None: never."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, 0.999 for example
    Where there is one, validation, best checkpoint and predictions are the average's. Its decay grows from zero over
    the first steps. None: no average."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after how many epochs without a better figure of validation
    The figure by which the best epoch is chosen: of a classifier, its AUC. None: never before the last epoch."""


class OptimSettings(UnlabelledOptim):
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share by which the labels are drawn towards one half"""


class BreastSettings(Settings):
    pooling: Pooling = "average"
    """Over what the last features are averaged before they are classified
    average: the whole image, as the network's authors have it. breast: the breast alone, each place as far as it is
    breast. For networks with a feature map: Swin and timm's convolutional ones."""
    background_contrast: Annotated[float, Field(ge=0), _FROZEN_FEATURES] = 0.0
    """Weight of how alike the features of breast and of background are
    It is added to the loss, so that the network tells them apart. 0: not at all; 0.1 is a beginning."""
    beta: Annotated[float, Field(ge=0), _FROZEN_FEATURES] = 0.0
    """Weight of the spectral norms of the layers that attention comes from
    It holds back how sharply a Swin encoder's attention can tell places apart. 0: not at all; 0.001 is a beginning."""
    attention_gamma: Annotated[float, Field(ge=0), _FROZEN_FEATURES] = 0.0
    """Weight of how much a Swin encoder's attention piles up on the same few places
    Attention that is even, or with which each place looks at itself, adds nothing. 0: not at all; 0.001 is a
    beginning."""


class LabelSettings(Settings):
    label_percent: Annotated[float, Field(gt=0, le=100)] = 100.0
    """Percentage of the training women whose labels are kept
    To see how a model does with few labels: as many of the women with a malignant image as of the others. Validation
    and test keep all of theirs. 100: everybody's."""
    unlabelled: Annotated[
        Unlabelled,
        NoEffectWhen("label_percent", 100),
        NoEffectWhen("balance", "sampling"),  # which takes labelled images only
        NOT_IN_A_REGRESSION,
    ] = "ignore"
    """What the images of the other women are for
    ignore: nothing, they are left out. pseudo: where the network is sure of one of them, its answer is taken as a
    label. consistency: its answer should be that of its own moving average about the mirror image (mean teacher)."""
    confidence: Annotated[float, Field(gt=0.5, lt=1), NoEffectWhen("unlabelled", "ignore", "consistency")] = 0.95
    """Probability from which on the network counts as sure of an image without a label"""
    unlabelled_weight: Annotated[float, Field(gt=0), NoEffectWhen("unlabelled", "ignore")] = 1.0
    """Weight of an image without a label, where one with a label has 1"""


class MaskSettings(Settings):
    block: Annotated[int, Field(ge=4)] = 32
    """Side of the square blocks that are hidden, in pixels
    At best a multiple of the encoder's patches: 32 is one place of a Swin encoder's last map."""
    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of a block that must be breast for it to be hidden
    A block is taken only where more than this share of it lies in the breast: black background teaches nothing."""
    share: Annotated[float, Field(gt=0, le=1), IMPORTANT] = 0.5
    """Share of the breast's blocks that are hidden
    Other ones in each epoch, at least one in each image."""
    fill: Literal["token", "zeros"] = "token"
    """What the network sees in place of a hidden block
    token: a block of its own that is learned, the same everywhere. zeros: the mean grey of the breast, which is zero
    once images are normalised."""


class DeviceSettings(Settings):
    deterministic: bool = True
    """Compute so that the same run always ends in the same bits
    On a GPU this costs some time; a run without it, stopped and resumed, ends nearly as an undisturbed one."""
    device: Annotated[str, AfterValidator(_device), NOT_IN_RUN_KEY] = "auto"
    """Where to compute: auto, cpu or cuda:N
    auto takes the first GPU that works, else the CPU."""
    threads: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], NOT_IN_RUN_KEY] = "auto"
    """CPU threads to compute with"""


class MachineSettings(DeviceSettings):
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numbers to compute in
    bf16 and fp16 are faster on GPUs that have units for them, and less exact; the weights stay in fp32. In fp32 too,
    NVIDIA's GPUs of 2020 and later round what goes into a convolution to TF32, which is PyTorch's own default."""
    channels_last: bool = False
    """Keep images with their channels innermost
    Faster for convolutional networks on many GPUs; the last bits of the results differ."""
    compile: Annotated[bool, NOT_IN_A_REGRESSION] = False
    """Compile the network first
    Takes a minute or more at each start, and is worth it in long runs on a GPU. The last bits of the results differ
    from those without; a run that is stopped and resumed ends in the same ones."""
    devices: Annotated[int, Field(ge=1), NOT_IN_A_REGRESSION] = 1
    """GPUs to train on at once
    Counted up from the chosen one; each takes its own batches, so that a step has that many times as many images, and
    the learning rate may then grow too. Layers that look at a whole batch see their own device's. On a CPU this is as
    many processes, which is of use only to try it."""
    nodes: Annotated[int, Field(ge=1), NOT_IN_A_REGRESSION] = 1
    """Machines to train on at once, each with that many GPUs
    The run says what to start on the others. All must reach this one by its name, have the program and the workspace
    in the same place, and their GPUs free."""
    checkpoint_seconds: Annotated[float, Field(ge=0), NOT_IN_RUN_KEY, NOT_IN_A_REGRESSION] = 60.0
    """Seconds between two checkpoints within an epoch
    Rarer where writing one takes long: a fiftieth of the time at most is spent on it."""


Embedding = Literal["pool2048", "dense128"]
Projection = Literal["pca", "tsne"]


class LearnerSettings(Settings):
    embedding: Annotated[Embedding, IMPORTANT] = "pool2048"
    """What of the network is learned from
    pool2048: the last feature map, averaged. dense128: what the hidden layer of its head makes of that. The numbers are
    those of ResNet50_Head; another network gives as many as it has."""
    learner: Annotated[Literal["forest", "logistic", "boosting"], IMPORTANT] = "forest"
    """What learns from the embeddings
    forest: a random forest. logistic: a logistic regression on standardised embeddings. boosting: trees that are grown
    one after the other, each on what those before it left wrong. What is not set here is as scikit-learn has it."""
    trees: Annotated[int, Field(ge=1), IMPORTANT, _WHERE_TREES_GROW] = 100
    """How many trees to grow
    More are rarely worse, and take more time and memory."""
    depth: Annotated[Annotated[int, Field(ge=1)] | None, _WHERE_TREES_GROW] = None
    """How many questions in a row a tree may ask at most
    None: as many as it needs."""
    class_weights: Literal["none", "balanced"] = "none"
    """Whether benign and malignant weigh the same, however many there are of each"""


class SegmentSettings(Settings):
    classes: Annotated[Literal["malignancy", "kind", "lesion"], IMPORTANT] = "malignancy"
    """What is told apart in an image: malignancy, kind or lesion
    malignancy: background, benign, malignant mass, malignant calcification. kind: background, benign (no callback was
    needed), mass, calcification (those that were called back, whatever came of it). lesion: background, lesion."""
    pixel_loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """What is learned from each pixel, beside Dice for each lesion class
    focal counts pixels that are already right for less."""
    class_weights: Literal["rarity", "none"] = "rarity"
    """Whether pixels of rare classes weigh more
    rarity: by the root of how many times rarer than background a class is in what is learned from; all of it would draw
    lesions far beyond their rim. none: a pixel is a pixel. Dice takes each lesion class as it is either way."""
    tile: Annotated[int, Field(ge=32, multiple_of=16)] | None = None
    """Side of the squares that training cuts out of the images, in pixels
    For images too large to be learned from whole: 512 for the preset highres. Validation and test then look at whole
    images square by square. None: whole images."""
    lesion_tiles: Annotated[float, Field(ge=0, le=1), NoEffectWhen("tile", None)] = 0.75
    """Share of the squares that are cut out where a lesion is
    The others lie anywhere."""
    window_overlap: Annotated[float, Field(ge=0, le=0.9), NoEffectWhen("tile", None)] = 0.5
    """Share by which neighbouring squares overlap when whole images are looked at
    Where they overlap the middle of a square counts for more than its rim."""
