"""What a dataset and a cache say about themselves."""

import numpy as np

from tests.training.small_dataset import make_small_dataset
from tfm.core.runs.product_facts import CacheFacts, read_cache_facts, read_dataset_facts


def test_a_dataset_and_a_cache_say_how_much_they_hold(workspace):
    make_small_dataset(workspace)
    (dataset,) = (workspace.root / "dataset").iterdir()
    (cache,) = (workspace.root / "cache").iterdir()
    facts = read_dataset_facts(dataset)
    lines = (dataset / "manifest.csv").read_text().splitlines()[1:]
    assert facts is not None
    assert facts.images == len(lines)
    assert 0 < facts.patients <= facts.images
    assert facts.training_images == sum(",train," in line for line in lines)
    shape = np.load(cache / "images.npy", mmap_mode="r").shape
    assert read_cache_facts(cache) == CacheFacts(*shape)


def test_a_damaged_product_has_no_figures(workspace):
    folder = workspace.dataset_folder("d")
    folder.mkdir(parents=True)
    for content in ("", "patient_id\nP_1\n", "patient_id,split\nP_1,train\n"):
        (folder / "manifest.csv").write_text(content)
        assert read_dataset_facts(folder) is None
    (folder / "images.npy").write_bytes(b"\x93NUMPY\x01\x00\x05\x00nope!")
    assert read_cache_facts(folder) is None
