"""The figures: same bytes, readable, and true to their data."""

import hashlib
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_report import (
    WORDS,
    all_figures,
    attention,
    bins,
    by_context,
    cleaning,
    curves,
    dynamics,
    positions_table,
    provenance,
)

import flow
from variorum.config.model_settings import ModelSettings
from variorum.model.gpt import GPT
from variorum.report.figures import variants
from variorum.report.figures.architecture import model_diagram, steps
from variorum.report.figures.attention_weights import MOST_PANELS, attention_heatmap
from variorum.report.figures.corpora import corpus_funnel
from variorum.report.figures.provenance import BOX, layout, provenance_graph, without_implied
from variorum.report.figures.scores import calibration, loss_by_context
from variorum.report.figures.tokens import embedding_pca, principal_components
from variorum.report.figures.training import training_curves, training_dynamics
from variorum.report.numbers import count


@pytest.fixture(scope="module")
def svgs():
    return all_figures()


def texts(svg):
    return [
        "".join(node.itertext()).strip()
        for node in ElementTree.fromstring(svg).iter()
        if node.tag.endswith("text")
    ]


def draw_in_another_process(folder):
    """Draw all figures in another environment, and keep their hash."""
    command = (
        "import hashlib, sample_report\n"
        "text = ''.join(sample_report.all_figures().values())\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "77",
        "SOURCE_DATE_EPOCH": "1",
        "LC_ALL": "C",
        "MPLBACKEND": "pdf",
    }
    found = subprocess.run(
        [sys.executable, "-c", command],
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    folder.mkdir()
    (folder / "sha256").write_text(found.stdout)


def test_figures_are_the_same_bytes_in_another_process(svgs, tmp_path):
    made = flow.made_by_commands(tmp_path / "made", draw_in_another_process)
    expected = hashlib.sha256("".join(svgs.values()).encode()).hexdigest()
    assert (made / "sha256").read_text().strip() == expected


def test_readers_own_style_neither_enters_nor_suffers(svgs):
    with plt.rc_context({"font.size": 30, "axes.linewidth": 9, "svg.fonttype": "path"}):
        assert variants.intervals(positions_table()) == svgs["ablation"]
        assert plt.rcParams["font.size"] == 30


def test_figures_hold_no_date_and_no_version(svgs):
    for svg in svgs.values():
        assert "<dc:date>" not in svg
        assert "matplotlib.org" not in svg.lower()


def test_tokens_are_written_as_text_and_never_as_mathematics(svgs):
    assert "$x$" in texts(svgs["embeddings"])
    assert {"␣func", "↵"} <= set(texts(svgs["attention"]))


def test_numbers_on_logarithmic_axes_are_plain(svgs):
    for name in ("frequencies", "dynamics", "context"):
        assert not [text for text in texts(svgs[name]) if "$" in text or "\\" in text]


def test_training_curves_bear_one_training_and_rows_without_val():
    table = curves(50, 5.0, 2.0, 1e-3)
    svg = training_curves({"pretraining": table})
    assert "pretraining" in texts(svg)
    assert f"lowest: {table['val_loss'].min():.3f}" in texts(svg)
    assert "<svg" in training_curves({"x": table.assign(val_loss=np.nan)})


def test_one_channel_and_one_token_have_a_place_too():
    for vectors, counts in ((np.ones((3, 1)), [3, 2, 0]), (np.ones((3, 4)), [3, 0, 0])):
        assert "a" in texts(embedding_pca({"m": vectors}, list("abc"), np.array(counts)))


def test_dynamics_name_the_first_and_last_layer_and_leave_norms_out():
    found = texts(training_dynamics({"pretraining": dynamics(100, n_layer=4)}))
    named = {"embedding", *(f"layer {n} {part}" for n in (0, 3) for part in ("attn", "mlp"))}
    assert named <= set(found)
    assert not [text for text in found if "layer 1" in text or "ln_1" in text]


def test_dynamics_bear_parts_that_began_at_zero():
    table = dynamics(100)
    table.loc[table["part"] == "h.0.mlp", ["gradient_norm", "update_ratio"]] = [0.0, np.nan]
    assert "<svg" in training_dynamics({"pretraining": table})


def test_calibration_and_context_have_a_panel_for_each_text():
    both = {"base test text": {"pretrained": bins(1.0)}, "domain test text": {"tuned": bins(0.5)}}
    assert set(both) <= set(texts(calibration(both)))
    found = texts(loss_by_context({"base test text": {"pretrained": by_context(4.0)}}))
    assert {"base test text", "pretrained", "64", "tokens seen before"} <= set(found)
    assert not [text for text in found if "$" in text]


def test_principal_components_are_the_covariances_eigenvectors():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6)) * [5, 3, 1, 1, 0.5, 0.1]
    components = principal_components(vectors)
    variances = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    assert np.var(components.project(vectors), axis=0, ddof=1) == pytest.approx(variances[:2])
    assert components.shares(vectors) == pytest.approx(variances[:2] / variances.sum())


def test_principal_components_do_not_flip():
    vectors = np.random.default_rng(1).normal(size=(40, 5))
    coordinates = principal_components(vectors).project(vectors)
    turned = vectors @ np.diag([-1, 1, -1, -1, 1])
    assert principal_components(turned).project(turned) == pytest.approx(coordinates)
    assert (coordinates[np.abs(coordinates).argmax(axis=0), [0, 1]] > 0).all()


def test_both_models_stand_on_the_components_of_the_first():
    vectors = np.random.default_rng(3).normal(size=(30, 4)) * [5, 2, 1, 0.2]
    moved = vectors + np.array([7, 0, 0, 0])
    components = principal_components(vectors)
    shift = components.project(moved) - components.project(vectors)
    assert shift == pytest.approx(np.tile(components.directions[:, 0] * 7, (30, 1)))
    labels = [f"token{i}" for i in range(30)]
    found = texts(embedding_pca({"before": vectors, "after": moved}, labels, np.ones(30, int)))
    assert {"before", "after"} <= set(found)
    labelled = [text for text in found if text.startswith("token")]
    assert labelled
    assert all(labelled.count(text) == 2 for text in labelled)


def test_embeddings_show_only_tokens_that_occur():
    vectors = np.random.default_rng(2).normal(size=(6, 4))
    svg = embedding_pca({"m": vectors}, list("abcdef"), np.array([5, 4, 3, 2, 1, 0]))
    assert set("abcde") <= set(texts(svg))
    assert "f" not in texts(svg)


def test_a_token_that_spells_nothing_has_no_place():
    vectors = np.random.default_rng(2).normal(size=(3, 4))
    found = [
        embedding_pca({"m": vectors[:n]}, ["a", "7", ""][:n], np.array([5, 4, 9])[:n])
        for n in (2, 3)
    ]
    assert "signs" not in texts(found[1])
    assert texts(found[0]) == texts(found[1])


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("␣the", "␣word"),
        ("ния", "letters"),
        ("␣слово", "␣word"),
        ("é", "letters"),
        ("漢", "letters"),
        ("٣", "digits"),
        ("12", "digits"),
        ("+", "signs"),
        ("␣", "signs"),
        ("\\xff", "other"),
    ],
)
def test_tokens_of_every_script_have_their_kind(label, kind):
    vectors = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert kind in texts(embedding_pca({"m": vectors}, [label, label], np.array([2, 1])))


def test_shares_of_the_text_are_written_as_percent_everywhere(svgs):
    axis = [text for text in texts(svgs["frequencies"]) if text.endswith("%")]
    assert "10\u00a0%" in axis
    assert all(re.fullmatch(r"[\d.]+\u00a0%", text) for text in axis)


def test_each_line_of_the_dynamics_is_in_the_legend():
    found = texts(training_dynamics({"pretraining": dynamics(100, n_layer=2)}))
    assert {"layer 0", "layer 0 attn", "layer 1", "layer 1 mlp", "embedding"} <= set(found)


def test_one_token_looks_at_itself():
    with np.errstate(all="raise"):
        svg = attention_heatmap(np.ones((2, 3, 1, 1)), ["␣"])
    assert "the sharpest: layer 0, head 0" in texts(svg)
    assert "nan" not in svg.lower()


def test_labels_of_equal_points_do_not_cover_each_other():
    vectors = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [4.0, 9.0], [5.0, -3.0]])
    labels = ["aa", "bb", "cc", "dd", "ee"]
    found = texts(embedding_pca({"m": vectors}, labels, np.array([5, 4, 3, 2, 1])))
    assert found.count("aa") == found.count("bb") == 1
    assert "cc" not in found


MODELS = {
    "gpt2": ModelSettings(n_layer=3),
    "modern": ModelSettings(
        positions="rotary", norm="rms", bias=False, ngrams=(2, 3), token_shift=True, qk_norm=True
    ),
    "odd": ModelSettings(
        n_layer=1, n_head=1, positions="none", feed_forward="swiglu", tied_head=False
    ),
    "norms after": ModelSettings(positions="sinusoidal", norm_position="after"),
}


@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
def test_the_parts_of_a_model_hold_all_of_its_parameters(settings):
    model = GPT(settings, 300)
    times = {True: settings.n_layer, False: 1}
    total = sum(step.parameters * times[step.in_block] for step in steps(model))
    assert total == model.n_parameters
    assert count(total) in texts(model_diagram(model))


def test_parts_of_a_model_stand_in_the_order_in_which_they_compute():
    names = [step.name.removeprefix("h.0.") for step in steps(GPT(MODELS["gpt2"], 300))]
    attention = ["attn.c_attn", "attn.weights", "attn.c_proj"]
    network = ["mlp.c_fc", "mlp.activation", "mlp.c_proj"]
    ends = (["wte", "embedded"], ["ln_f", "logits"])
    assert names == [*ends[0], "ln_1", *attention, "ln_2", *network, *ends[1]]
    after = steps(GPT(MODELS["norms after"], 300))
    names = [step.name.removeprefix("h.0.") for step in after]
    assert names == [*ends[0], *attention, "ln_1", *network, "ln_2", "logits"]
    assert [step.name for step in after if step.leaves] == ["h.0.attn.c_attn", "h.0.mlp.c_fc"]


def test_a_model_diagram_names_shapes_and_chosen_components():
    found = texts(model_diagram(GPT(MODELS["modern"], 300)))
    expected = {"T × 384", "4 × T × 32", "T × 300", "rms norm", "+ 3-gram embedding", "× 4 layers"}
    assert expected <= set(found)
    assert {"rotary positions", "normed queries and keys", "the embedding again"} <= set(found)
    odd = texts(model_diagram(GPT(MODELS["odd"], 300)))
    assert {"1 layer", "swiglu", "128 → 300"} <= set(odd)
    assert not [text for text in odd if "positions" in text]


def test_a_funnel_leaves_out_steps_that_changed_nothing():
    found = texts(corpus_funnel({"base corpus": cleaning()}))
    rows = ["as read", "encoding", "near duplicates −20", "train", "val", "test"]
    assert [text for text in found if text in rows] == rows
    assert "strip" not in found
    assert {"100 documents, 5\u00a0kB", "80, 4\u00a0kB", "60, 3\u00a0kB"} <= set(found)


def test_the_sharpest_head_is_the_one_shown_large():
    svg = attention_heatmap(attention(sharp=(2, 1)), WORDS)
    assert "the sharpest: layer 2, head 1" in texts(svg)


def test_a_head_that_rests_on_the_first_token_is_not_the_sharpest():
    maps = attention(sharp=(1, 2))
    maps[0, 0] = 0
    maps[0, 0, :, 0] = 1
    svg = attention_heatmap(maps, WORDS)
    assert "the sharpest: layer 1, head 2" in texts(svg)


def test_maps_of_large_models_are_thinned_out():
    found = texts(attention_heatmap(attention(8, 9, (3, 3)), WORDS))
    assert sum(text.startswith("head ") for text in found) == MOST_PANELS
    assert {"head 0", "head 8", "layer 0", "layer 7"} <= set(found)


@pytest.mark.parametrize(("n_layer", "n_head", "small"), [(1, 1, 0), (1, 4, 4), (3, 1, 3)])
def test_every_head_is_drawn_small_where_there_are_several(n_layer, n_head, small):
    svg = attention_heatmap(attention(n_layer, n_head, (0, 0)), WORDS)
    assert svg.count("<image") == 1 + small


def graphs():
    """Names and edges of graphs without cycles."""
    pairs = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=25)
    return pairs.map(lambda some: [(str(min(p)), str(max(p))) for p in some if p[0] != p[1]])


@given(edges=graphs())
def test_arrows_that_others_imply_are_left_out(edges):
    graph = networkx.DiGraph(edges)
    needed = {name: list(graph.predecessors(name)) for name in graph}
    found = {(a, b) for b, above in without_implied(needed).items() for a in above}
    assert found == set(networkx.transitive_reduction(graph).edges)


@given(edges=graphs())
def test_arrows_point_down_and_nothing_stands_on_anything(edges):
    names = [str(i) for i in range(9)]
    placed = layout(names, edges)
    assert sorted(placed.boxes.values()) == names
    for way in placed.ways:
        assert [row for _, row in way] == list(range(way[0][1], way[-1][1] + 1))
        assert not [place for place in way[1:-1] if place in placed.boxes]
    for row in placed.rows:
        ends = [
            (placed.x[place] - half, placed.x[place] + half)
            for place in row
            for half in [BOX / 2 if place in placed.boxes else 0]
        ]
        assert ends == sorted(ends)
        assert all(end[1] < start[0] for end, start in pairwise(ends))
        assert ends[0][0] >= 0
        assert ends[-1][1] <= placed.width


def test_every_result_of_a_provenance_is_named():
    found = texts(provenance_graph(*provenance()))
    assert {"download", "evaluate", "pretrained", "on base", "d0d0d0d0d0d0"} <= set(found)
    assert found.count("encode") == 2
