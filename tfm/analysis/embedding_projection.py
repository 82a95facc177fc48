"""Embeddings on paper: from many numbers an image to two. Drawing them stands in figures; nothing learns from these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from tfm.core.randomness import seed_at
from tfm.training.embeddings import Found
from tfm.training.inputs.training_data import Material
from tfm.training.settings import Projection

_PERPLEXITY = 30  # neighbours of an image, as t-SNE's authors have it; fewer where there are few images
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class ProjectedEmbeddings:
    table: pd.DataFrame  # x, y, label (benign, malignant), split (training, validation, test): a row an image
    axes: tuple[str, str]
    words: str  # how it came about


def project_embeddings(found: Found, material: Material, way: Projection, seed: int) -> ProjectedEmbeddings:
    state = seed_at(seed, "projection") % 2**32
    table = pd.concat(getattr(material, split).table[["label"]].assign(split=words) for split, words in _SPLITS.items())
    table["label"] = table["label"].map({0: "benign", 1: "malignant"})
    together = np.concatenate([found[split] for split in _SPLITS])
    together = np.pad(together, ((0, 0), (0, max(0, 2 - together.shape[1]))))  # paper has two directions
    counts = f"{', '.join(f'{len(found[split])} {words}' for split, words in _SPLITS.items())} images"
    if way == "tsne":
        perplexity = min(_PERPLEXITY, (len(together) - 1) / 3)
        differ = bool(np.ptp(together, axis=0).any())  # scikit-learn's own ends the process where all are alike
        tsne = TSNE(perplexity=perplexity, random_state=state)
        points = tsne.fit_transform(together) if differ else np.zeros((len(together), 2))
        axes = ("t-SNE 1", "t-SNE 2")
        words = f"{counts}, by t-SNE: who is near whom means something, how far groups are from each other does not"
    else:
        with np.errstate(invalid="ignore"):  # where all images are alike there is no variance to have a share of
            pca = PCA(2, random_state=state).fit(together[: len(found["train"])])
        points = pca.transform(together)
        first, second = np.nan_to_num(pca.explained_variance_ratio_)
        axes = (f"component 1 ({first:.0%} of the variance)", f"component 2 ({second:.0%})")
        words = f"{counts}, on the two principal components of the training images"
    return ProjectedEmbeddings(table.assign(x=points[:, 0], y=points[:, 1]), axes, words)
