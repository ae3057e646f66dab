"""The figures: same bytes, readable, and true to their data."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sample_report import (
    WORDS,
    all_figures,
    attention,
    bins,
    by_context,
    curves,
    dynamics,
    positions_table,
)

from variorum.report.figures import ablation
from variorum.report.figures.attention import MOST_PANELS, attention_heatmap
from variorum.report.figures.scores import calibration, loss_by_context
from variorum.report.figures.tokens import embedding_pca, principal_components
from variorum.report.figures.training import training_curves, training_dynamics


@pytest.fixture(scope="module")
def svgs():
    return all_figures()


def texts(svg):
    return [
        "".join(node.itertext()).strip()
        for node in ElementTree.fromstring(svg).iter()
        if node.tag.endswith("text")
    ]


def test_figures_are_the_same_bytes_in_another_process(svgs):
    command = (
        "import hashlib, sample_report\n"
        "text = ''.join(sample_report.all_figures().values())\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    expected = hashlib.sha256("".join(svgs.values()).encode()).hexdigest()
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
    assert found.stdout.strip() == expected


def test_readers_own_style_neither_enters_nor_suffers(svgs):
    with plt.rc_context({"font.size": 30, "axes.linewidth": 9, "svg.fonttype": "path"}):
        assert ablation.intervals(positions_table()) == svgs["ablation"]
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
    assert f"{table['val_loss'].min():.3f}" in texts(svg)
    assert "<svg" in training_curves({"x": table.assign(val_loss=np.nan)})


def test_one_channel_and_one_token_have_a_place_too():
    assert "<svg" in embedding_pca(np.ones((3, 1)), list("abc"), np.array([3, 2, 0]))
    assert "<svg" in embedding_pca(np.ones((3, 4)), list("abc"), np.array([3, 0, 0]))


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


def test_principal_components_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6)) * [5, 3, 1, 1, 0.5, 0.1]
    coordinates, shares = principal_components(vectors)
    variances = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    assert np.var(coordinates, axis=0, ddof=1) == pytest.approx(variances[:2])
    assert shares == pytest.approx(variances[:2] / variances.sum())


def test_principal_components_do_not_flip():
    vectors = np.random.default_rng(1).normal(size=(40, 5))
    coordinates, _ = principal_components(vectors)
    mirrored, _ = principal_components(vectors @ np.diag([-1, 1, -1, -1, 1]))
    assert mirrored == pytest.approx(coordinates)
    assert (coordinates[np.abs(coordinates).argmax(axis=0), [0, 1]] > 0).all()


def test_embeddings_show_only_tokens_that_occur():
    vectors = np.random.default_rng(2).normal(size=(6, 4))
    svg = embedding_pca(vectors, list("abcdef"), np.array([5, 4, 3, 2, 1, 0]))
    assert set("abcde") <= set(texts(svg))
    assert "f" not in texts(svg)


def test_labels_of_equal_points_do_not_cover_each_other():
    vectors = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [4.0, 9.0], [5.0, -3.0]])
    labels = ["aa", "bb", "cc", "dd", "ee"]
    found = texts(embedding_pca(vectors, labels, np.array([5, 4, 3, 2, 1])))
    assert found.count("aa") == found.count("bb") == 1
    assert "cc" not in found


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
