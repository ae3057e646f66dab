"""The experiments of the project, run whole: minutes each, so by `make test-long` alone."""

import json
from pathlib import Path
from random import Random

import pytest
from test_snakemake import NOTHING, REPORT, every_file, said

import apis
from conftest import Project, Record, copy_project, tiny_shakespeare
from loopback import served

pytestmark = pytest.mark.long

NANOGPT = 2.74  # bits per byte: the mean of its three seeds


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
    assert "2.73 to 2.75 bits per byte" in (project.root / REPORT).read_text()
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


def test_arxiv_goes_from_recorded_pages_to_its_report(
    tmp_path: Path, record_property: Record
) -> None:
    project = copy_project(tmp_path / "project")
    with served(apis.arxiv_answer) as papers:
        asked = {
            "query: cat:cs.SE AND abs:testing": "query: 'all:testing'",
            "max_results: 2000": f"max_results: 40\n      api: {papers.address}/api/query",
            "page_size: 500": "page_size: 10",
        }
        rewrite(project, "arxiv", asked)
        said_of_lock = project.run("variorum", "lock", "arxiv", environment=NO_PROXY).stderr
        assert "40 papers" in said_of_lock
        project.run("snakemake", "--cores", "2", *chosen("arxiv"), timeout=1200)
        record_property("pages asked for", len(papers.asked))
    page = (project.root / REPORT).read_text()
    assert "abstracts that arXiv finds for “all:testing”" in page
    scores = {label: score["bits_per_byte"] for label, score in evaluations(project).items()}
    assert scores["finetuned on domain"] < scores["pretrained on domain"]
    for label, score in scores.items():
        record_property(f"bits per byte, {label}", f"{score:.3f}")


def test_lyrics_go_from_a_server_to_their_report_without_the_token(
    tmp_path: Path, record_property: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = {artist: made_up_songs(artist, 30) for artist in ("The Tins", "Mü")}
    monkeypatch.setattr(apis, "SONGS", songs)
    monkeypatch.setattr(apis, "ARTISTS", list(songs))
    monkeypatch.setattr(apis, "TITLES", [(a, title) for a in songs for title in songs[a]])
    project = copy_project(tmp_path / "project")
    environment = {
        **NO_PROXY,
        "GENIUS_ACCESS_TOKEN": apis.TOKEN,
        "VARIORUM_MIRRORS": str(tiny_shakespeare().parents[1]),
    }
    with served(apis.genius_answer) as genius:
        addresses = f"api: {genius.address}/api/\n      site: {genius.address}/site/"
        asked = {
            "- Leonard Cohen": "- The Tins",
            "- Joni Mitchell\n        - Nick Drake": "- Mü",
            "max_songs: 60": f"max_songs: 60\n      {addresses}",
            "max_steps: 2000": "max_steps: 400",
            "max_steps: 1000": "max_steps: 200",
        }
        rewrite(project, "lyrics", asked)
        project.run("variorum", "lock", "lyrics", environment=environment)
        project.run(
            *("snakemake", "--cores", "2", *chosen("lyrics")), environment=environment, timeout=1200
        )
        record_property("songs that the server was asked for", len(genius.asked))
    assert "lyrics of The Tins, Mü" in (project.root / REPORT).read_text()
    scores = {label: score["bits_per_byte"] for label, score in evaluations(project).items()}
    assert scores["finetuned on domain"] < scores["pretrained on domain"]
    left = [path for path in project.root.rglob("*") if path.is_file()]
    assert not [path for path in left if apis.TOKEN.encode() in path.read_bytes()]
    record_property("files without the token", len(left))


NO_PROXY = {"NO_PROXY": "127.0.0.1"}


def chosen(experiment: str) -> tuple[str, ...]:
    return ("--config", f"experiment={experiment}", "--", REPORT)


def rewrite(project: Project, experiment: str, changes: dict[str, str]) -> None:
    """Change an experiment's file; each old text must stand there once."""
    file = project.root / f"config/experiments/{experiment}.yaml"
    text = file.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def made_up_songs(artist: str, count: int) -> dict[str, str]:
    """Songs of random words, each with a chorus."""
    draw = Random(artist)
    words = ("kettle", "noon", "spoon", "moon", "rain", "street", "silver", "river", "light")

    def line() -> str:
        return " ".join(draw.choices(words, k=draw.randint(4, 8)))

    return {
        f"Song {number}": "[Verse 1]<br>"
        + "<br>".join(line() for _ in range(16))
        + f"<br><br>[Chorus: {artist}]<br>"
        + "<br>".join([line()] * 2)
        for number in range(count)
    }
