"""The spectral losses and recorded attention, against slow references: full SVDs, attention by loops."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from tfm.core.errors import SettingsError
from tfm.models.attention_spectral_loss import SpectralNorms, compute_excess
from tfm.models.record_attention import find_attentions, find_blocks, get_query_key, record_attention

SWINS = {
    "swin": "swin_tiny_patch4_window7_224",
    "swin_v2": "swinv2_tiny_window8_256",
}
SMALL = {
    "window_size": 4,
    "embed_dim": 16,
    "depths": (2, 2),
    "num_heads": (2, 4),
    "img_size": (60, 44),
    "in_chans": 1,
    "num_classes": 1,
}


def build_swin(kind="swin", **given):
    """Build two stages with shifted and unshifted blocks; at this size windows are padded."""
    torch.manual_seed(2)
    network = timm.create_model(SWINS[kind], **SMALL | given)
    for attention in find_attentions(network):
        attention.qkv.weight.data.mul_(20)  # far from the uniform attention of initial weights
    return network.eval()


def compute_largest_square(matrix):
    return torch.linalg.svdvals(matrix)[..., 0] ** 2


def compute_by_loops(block, maps_in):
    """Compute a block's attention from its input, one pair of places at a time."""
    attention = block.attn
    windows, places, _ = maps_in.shape
    heads = attention.num_heads
    rows = functional.linear(maps_in, attention.qkv.weight, attention.qkv.bias)
    query, key, _ = (part.unflatten(-1, (heads, -1)) for part in rows.chunk(3, dim=-1))
    side = block.window_size[1]
    steps = 2 * block.window_size[1] - 1
    scores = torch.empty(windows, heads, places, places)
    for one in range(places):
        for other in range(places):
            down = one // side - other // side + block.window_size[0] - 1
            right = one % side - other % side + side - 1
            bias = attention.relative_position_bias_table[down * steps + right]
            product = (query[:, one] * key[:, other]).sum(-1) / (query.shape[-1] ** 0.5)
            scores[:, :, one, other] = product + bias
    if block.attn_mask is not None:
        scores += block.attn_mask.repeat(windows // len(block.attn_mask), 1, 1)[:, None]
    return scores.softmax(-1)


@pytest.mark.parametrize("fused", [False, True])
def test_recorded_attention_equals_the_formula(fused):
    network = build_swin()
    for attention in find_attentions(network):
        attention.fused_attn = fused
    given = []
    hooks = [
        one.attn.register_forward_pre_hook(lambda _, args: given.append(args[0].detach()))
        for one in find_blocks(network)
    ]
    images = torch.randn(2, 1, 60, 44)
    with torch.no_grad(), record_attention(find_attentions(network)) as seen:
        watched = network(images)
    for hook in hooks:
        hook.remove()
    assert any(one.attn_mask is not None for one in find_blocks(network)), "one block at least is shifted"
    for block, into, real in zip(find_blocks(network), given, seen, strict=True):
        assert torch.allclose(real, compute_by_loops(block, into), atol=1e-5)
    assert all(attention.fused_attn is fused for attention in find_attentions(network)), "as it was before"
    with torch.no_grad():
        assert torch.allclose(network(images), watched, atol=1e-4), "and looking at it changes nothing"


@pytest.mark.parametrize("kind", SWINS)
def test_recorded_rows_sum_to_one_and_carry_gradients(kind):
    network = build_swin(kind, img_size=(64, 64)).train()
    with record_attention(find_attentions(network)) as seen:
        network(torch.randn(2, 1, 64, 64))
    assert len(seen) == 4
    for maps in seen:
        assert torch.allclose(maps.sum(-1), torch.ones(maps.shape[:-1]), atol=1e-5)
    compute_excess(seen, [one.window_size for one in find_attentions(network)], 2).sum().backward()
    assert all(attention.qkv.weight.grad.abs().sum() > 0 for attention in find_attentions(network))


@pytest.mark.parametrize("kind", SWINS)
def test_attention_depends_only_on_the_query_and_key_rows(kind):
    network = build_swin(kind, img_size=(64, 64))
    with record_attention(find_attentions(network)) as seen:
        network(torch.randn(2, 1, 64, 64))
    for attention, maps in zip(find_attentions(network), seen, strict=True):
        (gradient,) = torch.autograd.grad(maps.square().sum(), attention.qkv.weight, retain_graph=True)
        assert torch.equal(get_query_key(attention).flatten(0, 1), attention.qkv.weight[gradient.abs().sum(1) > 0])


def test_norms_stay_within_a_percent_of_the_svd_during_training():
    torch.manual_seed(1)
    network = timm.create_model(SWINS["swin"], in_chans=1, num_classes=0)
    norms = SpectralNorms(network)
    weights = [attention.qkv.weight for attention in find_attentions(network)]
    with torch.no_grad():
        for step in range(50):
            for weight in weights:
                weight.add_(torch.randn_like(weight[:1]), alpha=1e-4).mul_(1.0005 if step % 2 else 0.9998)
            norms.advance(network)
            found = norms.compute_squares(network)
    exact = [
        compute_largest_square(
            torch.cat([get_query_key(one) for one in find_attentions(network) if one.dim == dim]).detach()
        )
        for dim in (96, 192, 384, 768)
    ]
    assert sum(len(values) for values in found) == 24
    for ours, theirs in zip(found, exact, strict=True):
        assert torch.allclose(ours.sqrt(), theirs.sqrt(), rtol=0.01)


def build_two_sizes(**given):
    """Build an encoder with queries and keys of two sizes, in float64."""
    network = build_swin(**given).double()
    return network, [attention.qkv.weight for attention in find_attentions(network)]


def test_gradient_of_the_norms_equals_that_of_a_full_svd():
    network, weights = build_two_sizes()
    norms = SpectralNorms(network)
    for _ in range(300):
        norms.advance(network)
    total = norms(network)
    exact = sum(compute_largest_square(get_query_key(attention)).sum() for attention in find_attentions(network))
    assert total.item() == pytest.approx(exact.item(), rel=1e-9)
    for ours, theirs in zip(torch.autograd.grad(total, weights), torch.autograd.grad(exact, weights), strict=True):
        rows = len(ours) // 3
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7)
        assert ours[2 * rows :].abs().sum() == 0, "values have no part in it"


def test_both_losses_pass_gradcheck():
    network, weights = build_two_sizes(embed_dim=8)
    norms = SpectralNorms(network)
    for _ in range(300):
        norms.advance(network)
    kept = dict(norms.vectors)

    def continue_iteration(_):
        norms.vectors = dict(kept)
        norms.advance(network)
        return norms(network)

    assert torch.autograd.gradcheck(continue_iteration, weights[0], atol=1e-6)
    torch.manual_seed(4)
    scores = (4 * torch.randn(4, 2, 5, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda scores: compute_excess([make_converging(scores)], [(1, 5)], 2), scores, atol=1e-8
    )


def make_converging(scores):
    """Make attention whose first singular value is well above the second, so that few iterations suffice."""
    return (scores * 0.05 + torch.arange(5.0, dtype=scores.dtype)).softmax(-1)


def test_excess_is_the_mean_over_windows_and_heads_of_full_svds():
    torch.manual_seed(5)
    maps = [make_converging(torch.randn(6, 3, 5, 5)), make_converging(torch.randn(2, 4, 5, 5))]  # two images
    exact = [compute_largest_square(one) - 1 for one in maps]
    by_image = [
        sum(float(values[image * len(values) // 2 : (image + 1) * len(values) // 2].mean()) for values in exact)
        for image in (0, 1)
    ]
    assert compute_excess(maps, 2 * [(1, 5)], 2).tolist() == pytest.approx(by_image, rel=1e-4)


@pytest.mark.parametrize("sharpness", [1, 5, 20])
@pytest.mark.parametrize("kind", SWINS)
def test_excess_of_real_attention_is_within_a_percent_of_the_svd(kind, sharpness):
    """A window at the edge of a shifted block consists of parts that do not attend to each other."""
    network = build_swin(kind, window_size=7, img_size=(84, 112))
    for attention in find_attentions(network):
        attention.qkv.weight.data.mul_(sharpness / 20)
    with torch.no_grad(), record_attention(find_attentions(network)) as seen:
        network(torch.rand(2, 1, 84, 112))
    assert {any(block.shift_size) for block in find_blocks(network)} == {True, False}
    for block, maps in zip(find_blocks(network), seen, strict=True):
        exact = (compute_largest_square(maps.double()) - 1).reshape(2, -1).mean(1)
        assert torch.allclose(compute_excess([maps], [block.window_size], 2).double(), exact, rtol=0.01, atol=1e-6)


def test_excess_in_half_precision_equals_that_in_full():
    torch.manual_seed(5)
    maps = make_converging(torch.randn(6, 3, 5, 5)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        halved = compute_excess([maps], [(1, 5)], 2)
    assert halved.dtype == torch.float32
    assert torch.allclose(halved, compute_excess([maps.float()], [(1, 5)], 2), rtol=1e-6)


def test_excess_is_zero_for_uniform_attention_and_largest_for_a_sink():
    places = 49
    even = torch.full((1, 1, places, places), 1 / places)
    itself = torch.eye(places)[None, None]
    sink = torch.zeros(1, 1, places, places)
    sink[..., 17] = 1
    assert [compute_excess([one], [(7, 7)], 1).item() for one in (even, itself, sink)] == pytest.approx(
        [0, 0, places - 1], abs=1e-4
    )


def test_vectors_are_the_only_state():
    network, other = build_swin(), SpectralNorms(build_swin())
    norms = SpectralNorms(network)
    for _ in range(3):
        norms.advance(network)
    other.restore({shape: kept.clone() for shape, kept in norms.vectors.items()})
    with torch.no_grad():
        assert torch.equal(norms(network), other(network))
        assert torch.equal(norms(network), norms(network)), "asking changes nothing"
        assert not torch.equal(norms(network), SpectralNorms(network)(network)), "which is not what fresh vectors say"
    with pytest.raises(ValueError, match="another network"):
        other.restore(SpectralNorms(build_swin(embed_dim=32)).vectors)


@pytest.mark.parametrize("network", [nn.Linear(2, 2), timm.create_model("test_resnet"), timm.create_model("test_vit")])
def test_encoder_without_window_attention_is_refused(network):
    for look in (find_attentions, find_blocks, SpectralNorms):
        with pytest.raises(SettingsError, match=type(network).__name__) as refusal:
            look(network)
        assert refusal.value.fields == ("beta", "attention_gamma")
