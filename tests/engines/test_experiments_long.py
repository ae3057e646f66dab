"""The experiments of the project, run whole: minutes each, so by `make test-long` alone."""

import json
from pathlib import Path

import pytest
from test_snakemake import NOTHING, REPORT, every_file, said

from conftest import Project, Record, copy_project, tiny_shakespeare

pytestmark = pytest.mark.long

NANOGPT = 2.74  # bits per byte: 1.898 nats a character over the whole part


def evaluations(project: Project) -> dict[str, dict[str, float]]:
    """Metrics of every evaluation by its label."""
    return {
        json.loads((folder / "run.json").read_text())["label"]: json.loads(
            (folder / "metrics.json").read_text()
        )
        for folder in (project.root / "results/evaluate").iterdir()
    }


def test_tiny_is_the_same_to_the_bit_for_any_number_of_cores(
    tmp_path: Path, record_property: Record
) -> None:
    files = []
    for cores in ("1", "4"):
        project = copy_project(tmp_path / f"with {cores} cores")
        tiny = ("--config", "experiment=tiny", "--", REPORT)
        project.run("snakemake", "--cores", cores, *tiny, timeout=600)
        files.append(every_file(project))
    assert files[0] == files[1]
    record_property("files equal with 1 and 4 cores", len(files[0]))


def test_shakespeare_reaches_nanogpts_loss_from_a_mirror(
    tmp_path: Path, record_property: Record
) -> None:
    project = copy_project(tmp_path / "project")
    mirrors = {"VARIORUM_MIRRORS": str(tiny_shakespeare().parents[1])}
    chosen = ("--config", "experiment=shakespeare", "--", REPORT)
    project.run("snakemake", "--cores", "2", *chosen, environment=mirrors, timeout=1200)
    score = evaluations(project)["pretrained on base"]
    assert score["characters"] == 111_540
    assert score["bits_per_byte"] == pytest.approx(NANOGPT, abs=0.03)
    assert "2.74 bits per byte" in (project.root / REPORT).read_text()
    record_property(f"bits per byte (nanoGPT: {NANOGPT})", f"{score['bits_per_byte']:.4f}")


def test_default_learns_its_domain_by_a_tenth_or_more(
    tmp_path: Path, record_property: Record
) -> None:
    project = copy_project(tmp_path / "project")
    project.run("snakemake", "--cores", "2", REPORT, timeout=1200)
    scores = {label: score["bits_per_byte"] for label, score in evaluations(project).items()}
    assert scores["finetuned on domain"] < 0.9 * scores["pretrained on domain"]
    assert NOTHING in said(project.snakemake("-n", REPORT))
    for label, bits in sorted(scores.items()):
        record_property(f"bits per byte, {label}", f"{bits:.4f}")
