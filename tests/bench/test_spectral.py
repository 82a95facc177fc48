"""What the spectral terms cost of a training step of a small Swin, beside the same terms by full SVDs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import timm
import torch

from tests.bench.rows import report
from tfm.models.attention_spectral_loss import SpectralNorms, compute_excess
from tfm.models.record_attention import find_attentions, get_query_key, record_attention

IMAGES, STEPS, WARM = 4, 7, 2


def by_svd(maps: list[torch.Tensor], images: int) -> torch.Tensor:
    squares = [torch.linalg.svdvals(one)[..., 0] ** 2 - 1 for one in maps]
    return torch.stack([one.reshape(images, -1).mean(1) for one in squares]).sum(0)


@pytest.mark.long
def test_the_terms_cost_a_few_percent_of_a_step() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = timm.create_model("swin_tiny_patch4_window7_224", in_chans=1, num_classes=1).train()
    watched, norms, batch = find_attentions(network), SpectralNorms(network), torch.rand(IMAGES, 1, 224, 224)
    nothing = torch.zeros(())

    def stepped(_: list[torch.Tensor]) -> torch.Tensor:
        norms.advance(network)
        return norms(network)

    terms: dict[str, Callable[[list[torch.Tensor]], torch.Tensor]] = {
        "bare": lambda maps: nothing,
        "norms": stepped,
        "attention": lambda maps: compute_excess(maps, [one.window_size for one in watched], IMAGES).sum(),
        "norms by SVD": lambda maps: sum((torch.linalg.svdvals(get_query_key(a))[:, 0] ** 2).sum() for a in watched),
        "attention by SVD": lambda maps: by_svd(maps, IMAGES).sum(),
    }

    def seconds(term: Callable[[list[torch.Tensor]], torch.Tensor]) -> float:
        begun = time.perf_counter()
        network.zero_grad()
        with record_attention(watched) as maps:
            loss = network(batch).sum()
        (loss + 1e-3 * term(maps)).backward()
        return time.perf_counter() - begun

    try:
        rounds = [{name: seconds(term) for name, term in terms.items()} for _ in range(STEPS + WARM)][WARM:]
    finally:
        torch.set_num_threads(before)
    # Each round's own bare step: what else the machine does falls on both.
    cost = {name: statistics.median(one[name] / one["bare"] for one in rounds) for name in terms}
    for name, limit in {"norms": 1.03, "attention": 1.15}.items():
        report(
            f"step of Swin-T with {name}",
            cost[name],
            unit="steps",
            usual=cost[f"{name} by SVD"],
            floor=1,
            at_most=limit,
        )
