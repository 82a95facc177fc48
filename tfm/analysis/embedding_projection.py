"""Embeddings projected to two dimensions for a figure. Drawing is in `figures`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from tfm.core.randomness import seed_at
from tfm.training.embeddings import Embeddings
from tfm.training.inputs.training_data import TrainingData
from tfm.training.settings import Projection

_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class ProjectedEmbeddings:
    table: pd.DataFrame  # x, y, label (benign, malignant), split (training, validation, test); a row for each image
    axes: tuple[str, str]
    caption: str


def project_embeddings(found: Embeddings, data: TrainingData, method: Projection, seed: int) -> ProjectedEmbeddings:
    state = seed_at(seed, "projection") % 2**32
    table = pd.concat(getattr(data, split).table[["label"]].assign(split=words) for split, words in _SPLITS.items())
    table["label"] = table["label"].map({0: "benign", 1: "malignant"})
    embeddings = np.concatenate([found[split] for split in _SPLITS])
    embeddings = np.pad(embeddings, ((0, 0), (0, max(0, 2 - embeddings.shape[1]))))  # PCA needs two dimensions
    counts = f"{', '.join(f'{len(found[split])} {words}' for split, words in _SPLITS.items())} images"
    if method == "tsne":
        perplexity = min(30, (len(embeddings) - 1) / 3)  # 30 is the usual value; it must be lower for few images
        tsne = TSNE(perplexity=perplexity, random_state=state)
        differ = bool(np.ptp(embeddings, axis=0).any())  # scikit-learn crashes if all embeddings are equal
        points = tsne.fit_transform(embeddings) if differ else np.zeros((len(embeddings), 2))
        axes = ("t-SNE 1", "t-SNE 2")
        caption = f"{counts}, t-SNE: nearby points are similar; distances between groups have no meaning"
    else:
        with np.errstate(invalid="ignore"):  # equal embeddings have no variance to explain
            pca = PCA(2, random_state=state).fit(embeddings[: len(found["train"])])
        points = pca.transform(embeddings)
        first, second = np.nan_to_num(pca.explained_variance_ratio_)
        axes = (f"component 1 ({first:.0%} of the variance)", f"component 2 ({second:.0%})")
        caption = f"{counts}, projected on the first two principal components of the training images"
    return ProjectedEmbeddings(table.assign(x=points[:, 0], y=points[:, 1]), axes, caption)
