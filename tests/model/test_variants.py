"""What each choice of the model promises beyond what all of them do (see `test_gpt`)."""

import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from test_gpt import SIZE, VARIANTS, VOCAB, model_with, some_ids
from torch import Tensor
from torch.nn import functional as F

from variorum.base import components
from variorum.config.model_settings import ModelSettings
from variorum.generation.cache import Cache
from variorum.model.attention import causal_mask
from variorum.model.attentions import fused, written_out
from variorum.model.feed_forward import TwoLayers
from variorum.model.gpt import GPT
from variorum.model.ngram_embedding import SCALE, NgramEmbeddings
from variorum.model.positions import alibi

CONTEXT = SIZE["context_length"]
EOT = VOCAB - 1


def vectors(length: int = 6, width: int = 24, seed: int = 0) -> Tensor:
    return torch.randn(2, length, width, generator=torch.Generator().manual_seed(seed))


def part(folder: str, name: str, attribute: str, **changes: object) -> torch.nn.Module:
    settings = ModelSettings(**SIZE, **changes)
    module: torch.nn.Module = getattr(components.load(folder, name), attribute)(settings)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return module


# The parts


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("gelu", lambda x: F.gelu(x, approximate="tanh")),
        ("relu", lambda x: x.clamp(min=0)),
        ("relu_squared", lambda x: x.clamp(min=0) ** 2),
        ("swiglu", lambda x: x[..., :64] / (1 + (-x[..., :64]).exp()) * x[..., 64:]),
    ],
)
def test_a_feed_forward_network_is_what_its_paper_says(
    name: str, activation: Callable[[Tensor], Tensor]
) -> None:
    network, x = part("model/feed_forwards", name, "FeedForward"), vectors()
    inner = F.linear(x, network.c_fc.weight, network.c_fc.bias)
    expected = F.linear(activation(inner), network.c_proj.weight, network.c_proj.bias)
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def test_swiglu_has_about_as_many_weights() -> None:
    width = 384
    read, made = components.load("model/feed_forwards", "swiglu").FeedForward.inner_widths(width)
    assert (read + made) * width == pytest.approx(8 * width**2, rel=0.01)


def test_rms_norm_brings_the_mean_square_to_one_and_scales() -> None:
    norm, x = part("model/norms", "rms", "Norm"), vectors()
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)
    assert [name for name, _ in norm.named_parameters()] == ["weight"]


def test_layer_norm_is_gpt2s() -> None:
    norm, x = part("model/norms", "layer", "Norm"), vectors()
    torch.testing.assert_close(norm(x), F.layer_norm(x, (24,), norm.weight, norm.bias))


def masks() -> list[Tensor | None]:
    seen = causal_mask(6, 6, torch.device("cpu"))
    bias = -torch.arange(6.0).expand(2, 6, 6).masked_fill(~seen, torch.inf)
    return [None, seen, bias, seen & torch.ones(2, 1, 6, 6, dtype=torch.bool)]


@pytest.mark.parametrize("mask", masks(), ids=["none", "causal", "bias", "by-row"])
def test_written_out_attention_is_the_fused_one(mask: Tensor | None) -> None:
    draw = torch.Generator().manual_seed(3)
    queries, keys, values = torch.randn(3, 2, 2, 6, 12, generator=draw)
    found = written_out.attend(queries, keys, values, mask, 0.0)
    expected = fused.attend(queries, keys, values, mask, 0.0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    one = None if mask is None else mask[..., 5:, :]  # for the last token alone
    found = written_out.attend(queries[:, :, 5:], keys, values, one, 0.0)
    torch.testing.assert_close(found, expected[:, :, 5:], rtol=1e-5, atol=1e-6)


# The model


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_written_out_models_give_the_same_logits_and_gradients(changes: dict[str, object]) -> None:
    models = [
        model_with(**{**changes, "attention": kind}).train() for kind in ("fused", "written_out")
    ]
    ids, targets = some_ids(), some_ids(seed=1)
    for model in models:
        model.loss(ids, targets).backward()
    torch.testing.assert_close(models[0](ids), models[1](ids), rtol=1e-4, atol=1e-5)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("pieces", [[20], [1] * 20, [7, 1, 1, 5, 6]], ids=str)
def test_cached_logits_are_the_uncached_ones(changes: dict[str, object], pieces: list[int]) -> None:
    model = model_with(**changes)
    ids = some_ids(2, CONTEXT)
    ids[:, 9] = EOT
    cache = Cache(model.settings, batch_size=2)
    with torch.no_grad():
        found = torch.cat([model(piece, cache) for piece in ids.split(pieces, dim=1)], dim=1)
        torch.testing.assert_close(found, model(ids), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_weight_takes_part(changes: dict[str, object]) -> None:
    model = model_with(**changes).train()
    model.loss(some_ids(4, seed=2), some_ids(4, seed=3)).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_norms_after_each_part_leave_the_stream_normed() -> None:
    model = model_with(norm_position="after")
    for layer in range(SIZE["n_layer"]):
        norm = model.h[layer].ln_2
        stream = (model.trace(some_ids())[f"h.{layer}"] - norm.bias) / norm.weight
        torch.testing.assert_close(stream.mean(-1), torch.zeros(2, 20), atol=1e-4, rtol=0)
    assert not [name for name, _ in model.named_parameters() if name.startswith("ln_f")]


def test_document_attention_makes_each_document_the_first_of_its_window() -> None:
    """Without positions, a document behind others reads as it does alone."""
    model = model_with(document_attention=True, positions="none")
    ids = some_ids(1) % EOT
    ids[0, [6, 13]] = EOT
    logits = model(ids)[0]
    for start, end in ((6, 13), (13, 20)):
        alone = model(ids[:, start:end])[0]
        torch.testing.assert_close(logits[start:end], alone, rtol=1e-5, atol=1e-5)
    everything = model_with(positions="none")(ids)[0]
    assert (logits[6:] - everything[6:]).abs().max() > 1e-3


@pytest.mark.parametrize("changes", [{"token_shift": True}, {"ngrams": (2, 3)}], ids=str)
def test_with_document_attention_nothing_else_looks_over_an_end_either(
    changes: dict[str, object],
) -> None:
    model = model_with(document_attention=True, positions="rotary", **changes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("shift.", "ngrams.")):  # they begin at zero
                parameter.fill_(0.5)
    ids = some_ids(1) % EOT
    ids[0, 6] = EOT
    others = ids.clone()
    others[0, :6] = (ids[0, :6] + 1) % EOT
    before, after = model(ids)[0], model(others)[0]
    torch.testing.assert_close(before[6:], after[6:], rtol=0, atol=0)
    assert (before[:6] - after[:6]).abs().max() > 1e-3


def test_rotary_positions_bear_numbers_of_sixteen_bits() -> None:
    rotary = part("model/positions", "rotary", "Positions")
    queries = torch.randn(1, 2, 5, 12, generator=torch.Generator().manual_seed(1))
    halved, _ = rotary.rotate(queries.bfloat16(), queries.bfloat16(), 3)
    assert halved.dtype == torch.bfloat16
    exact, _ = rotary.rotate(queries, queries, 3)
    torch.testing.assert_close(halved.float(), exact, rtol=2e-2, atol=2e-2)


def test_alibi_takes_the_distance_times_the_slopes_of_its_paper() -> None:
    assert alibi.slopes(8).tolist() == [2.0 ** -(i + 1) for i in range(8)]
    assert alibi.slopes(6).tolist() == [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]
    bias = part("model/positions", "alibi", "Positions").bias(3, 5)
    for head, slope in enumerate(alibi.slopes(2)):
        for query in range(3):
            for key in range(query + 3):
                assert bias[head, query, key] == -slope * (query + 2 - key)


def test_sinusoidal_positions_are_the_waves_of_their_paper() -> None:
    added = part("model/positions", "sinusoidal", "Positions").embed(torch.zeros(1, 4, 24), 5)[0]
    for place in range(4):
        for channel in range(24):
            angle = (5 + place) / 10000 ** ((channel - channel % 2) / 24)
            wave = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
            assert added[place, channel] == pytest.approx(0.02 * math.sqrt(2) * wave, abs=1e-7)


def test_qk_norm_gives_queries_and_keys_one_length() -> None:
    found = model_with(qk_norm=True).trace(some_ids())
    size = SIZE["n_embd"] // SIZE["n_head"]
    for name in ("queries", "keys"):
        lengths = found[f"h.1.attn.{name}"].norm(dim=-1)
        torch.testing.assert_close(lengths, torch.full_like(lengths, math.sqrt(size)))


def test_token_shift_adds_a_share_of_the_token_before() -> None:
    model = model_with(token_shift=True, positions="none")
    found = model.trace(some_ids(1))
    for place in range(1, CONTEXT):
        expected = found["wte"][0, place] + model.shift.share * found["wte"][0, place - 1]
        torch.testing.assert_close(found["embedded"][0, place], expected)
    torch.testing.assert_close(found["embedded"][0, 0], found["wte"][0, 0])


def test_ngrams_are_looked_up_by_what_stands_before() -> None:
    model = model_with(ngrams=(2, 3), ngram_buckets=10_007, positions="none")
    ids = torch.tensor([[1, 2, 3, 9, 2, 3, 1, 2, 3]])
    found = model.trace(ids)["ngrams"][0]
    assert torch.equal(found[8], found[2])  # 1 2 3
    assert not torch.equal(found[5], found[2])  # 9 2 3: the same pair, another triple
    assert not found[0].any()  # nothing stands before
    pairs = SCALE * model.ngrams.tables[0].weight
    assert (pairs == found[1]).all(-1).any()  # a pair, and no triple yet


def rows_of(grams: Tensor) -> list[int]:
    """Rows of n-grams (B, n) among so many that few meet by chance."""
    rows = NgramEmbeddings((grams.shape[1],), 1 << 20, 0)._rows_of(grams, grams.shape[1])
    return rows[:, -1].tolist()


@pytest.mark.parametrize("length", [2, 5, 6, 11, 64])
@pytest.mark.parametrize("id_bits", [6, 16])
def test_every_token_of_an_ngram_of_any_length_counts(length: int, id_bits: int) -> None:
    """Whatever two of its places hold: other tokens, one other token twice, or each other's."""
    draw = torch.Generator().manual_seed(length)
    ids = 1 << id_bits
    met = 0
    for one, two in {(0, length - 1), (length // 2, length - 1), *pairs_apart(length)}:
        grams = torch.randint(ids, (50, length), generator=draw)
        swapped, same, other, one_changed = (grams.clone() for _ in range(4))
        swapped[:, [one, two]] = grams[:, [two, one]]
        same[:, [one, two]] = grams[:, one : one + 1]
        other[:, [one, two]] = (grams[:, one : one + 1] + 1) % ids
        one_changed[:, one] = (grams[:, one] + 1) % ids
        for changed in (swapped, same, other, one_changed):
            differ = (changed != grams).any(1)
            for before, after in zip(rows_of(grams[differ]), rows_of(changed[differ]), strict=True):
                met += before == after
        equal = [rows_of(each[:, [one] * length]) for each in (grams, other)]
        met += sum(before == after for before, after in zip(*equal, strict=True))
    assert met <= 2, "by chance one in a million"


def pairs_apart(length: int) -> set[tuple[int, int]]:
    """Places as far apart as a short list of factors would come again."""
    return {(0, apart) for apart in range(1, min(length, 12))}


def test_ngrams_of_up_to_five_keep_their_rows() -> None:
    """Models that were trained before longer ones had factors of their own read as before."""
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    found = [NgramEmbeddings((n,), 10_007, 1)._rows_of(ids, n)[0, -1].item() for n in range(2, 6)]
    assert found == [9136, 9131, 858, 2700]


def test_an_ngram_longer_than_the_context_is_refused() -> None:
    with pytest.raises(ValidationError, match="ngrams: 9 tokens are more than the model ever sees"):
        ModelSettings(context_length=8, ngrams=(2, 9))


def test_new_parts_begin_by_changing_nothing() -> None:
    plain = GPT(ModelSettings(**SIZE), VOCAB, seed=5).eval()
    more = GPT(ModelSettings(**SIZE, token_shift=True, ngrams=(2, 3)), VOCAB, seed=5).eval()
    assert torch.equal(plain(some_ids()), more(some_ids()))


def test_zero_outputs_leave_the_stream_as_it_is_embedded() -> None:
    found = GPT(ModelSettings(**SIZE, zero_outputs=True), VOCAB, seed=5).trace(some_ids())
    assert torch.equal(found[f"h.{SIZE['n_layer'] - 1}"], found["embedded"])


def test_a_free_head_is_a_matrix_of_its_own() -> None:
    model = model_with(tied_head=False)
    assert sum(VOCAB in parameter.shape for parameter in model.parameters()) == 2
    assert model.n_parameters == model_with().n_parameters + VOCAB * SIZE["n_embd"]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_trace_holds_what_the_logits_came_from(changes: dict[str, object]) -> None:
    model, ids = model_with(**changes, dropout=0.2).train(), some_ids()
    found = model.trace(ids)
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        torch.testing.assert_close(found["logits"], model.eval()(ids), rtol=1e-5, atol=1e-5)
        assert torch.equal(model.head(found["ln_f"]), found["logits"])
        for layer in range(SIZE["n_layer"]):
            attention, mlp = f"h.{layer}.attn", f"h.{layer}.mlp"
            mixed = found[f"{attention}.weights"] @ found[f"{attention}.values"]
            torch.testing.assert_close(mixed, found[f"{attention}.mixed"])
            whole = model.h[layer].mlp.c_proj(found[f"{mlp}.activation"])
            torch.testing.assert_close(whole, found[mlp])


def test_a_feed_forward_network_may_have_any_inner_widths() -> None:
    class Uneven(TwoLayers):
        @staticmethod
        def inner_widths(width: int) -> tuple[int, int]:
            return 6, 15

        def activation(self, x: Tensor) -> Tensor:
            return x[..., :6] * x[..., 6:12]

    network = Uneven(ModelSettings(**SIZE))
    assert network.c_fc.weight.shape == (15, SIZE["n_embd"])
    x = vectors(width=SIZE["n_embd"])
    assert network(x).shape == x.shape
