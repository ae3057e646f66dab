"""Sources that ask an API are pinned and pinned as addresses are, and keep the user's secrets."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import flow
from apis import ARTISTS, TOKEN, arxiv_answer, arxiv_page, genius_answer
from conftest import ROOT, Project
from loopback import Request, Server, served
from variorum.base.errors import VariorumError
from variorum.base.files import sha256_of
from variorum.cli.command import main
from variorum.config.canonical import canonical, restored
from variorum.corpus import arxiv_client, genius_client
from variorum.corpus.source_kinds import KINDS, Source
from variorum.corpus.sources.arxiv import ArxivSource
from variorum.corpus.sources.csv import CsvSource, RowFilter
from variorum.corpus.sources.genius import GeniusSource
from variorum.corpus.sources.synthetic import SyntheticSource
from variorum.plan import source_lock
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import load_experiment
from variorum.stages.download import DownloadStage
from variorum.store.store import Store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arxiv_client, "_DELAY", 0.0)
    monkeypatch.setattr(genius_client, "_PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("GENIUS_ACCESS_TOKEN", TOKEN)
    monkeypatch.delenv("VARIORUM_LOCKED", raising=False)


@pytest.fixture
def papers() -> Iterator[Server]:
    with served(arxiv_answer) as server:
        yield server


@pytest.fixture
def songs() -> Iterator[Server]:
    with served(genius_answer) as server:
        yield server


def with_domain(project: Project, source: str) -> Path:
    """Give the current experiment this source as its domain; nothing else asks a server."""
    for name in ("arxiv", "lyrics"):
        (project.root / f"config/experiments/{name}.yaml").unlink()
    experiment = project.root / "config/experiments/micro.yaml"
    text = experiment.read_text()
    experiment.write_text(text.replace("{kind: files, path: texts/domain}", f"{{{source}}}"))
    return project.root


@pytest.fixture
def of_papers(micro: Project, papers: Server) -> Path:
    return with_domain(
        micro,
        "kind: arxiv, query: 'all:testing', max_results: 40, page_size: 10, "
        f"api: '{papers.address}/api/query'",
    )


@pytest.fixture
def of_songs(micro: Project, songs: Server) -> Path:
    return with_domain(
        micro,
        f"kind: genius, artists: {ARTISTS}, "
        f"api: '{songs.address}/api/', site: '{songs.address}/site/'",
    )


def domain(root: Path) -> ArxivSource:
    source = load_experiment(root).settings.corpus.domain
    assert source is not None
    assert isinstance(source.source, ArxivSource)
    return source.source


def test_an_answer_is_locked_once_announced_and_not_asked_for_again(
    of_papers: Path, papers: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    node = flow.current(of_papers).of_stage("download")[1]
    name = domain(of_papers).lock_name
    entry = source_lock.entries(of_papers)[name]
    said = capsys.readouterr().err
    assert f"locking {name}" in said
    assert f"config/sources.lock: {name} = {entry}; commit it" in said
    result = flow.make(of_papers, node)
    file = result.file("documents.jsonl")
    assert (sha256_of(file), file.stat().st_size) == (entry.sha256, entry.n_bytes)
    assert len(papers.asked) == 4


def test_offline_and_where_it_is_forbidden_nothing_is_asked(
    of_papers: Path, papers: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        VariorumError, match=r"micro.yaml:\d+: corpus.domain.source: unlocked: .*ar"
    ):
        plan_experiment(load_experiment(of_papers), of_papers, offline=True)
    monkeypatch.setenv("VARIORUM_LOCKED", "1")
    with pytest.raises(VariorumError, match="VARIORUM_LOCKED forbids to add one"):
        flow.current(of_papers)
    with pytest.raises(VariorumError, match=r"config/experiments/micro.yaml:\d+: config/sources"):
        source_lock.check(of_papers)
    assert not papers.asked


def test_only_what_is_named_is_looked_at(of_papers: Path) -> None:
    assert source_lock.unlocked(of_papers)
    assert not source_lock.unlocked(of_papers, ["tiny", "default"])
    assert source_lock.check(of_papers, ["tiny"]) == 0
    with pytest.raises(VariorumError, match=r"tyni\.yaml: there is no such file"):
        source_lock.check(of_papers, ["tyni"])


def test_snakemakes_dry_run_says_unlocked_and_asks_nothing(of_papers: Path, papers: Server) -> None:
    done = Project(of_papers).snakemake("--dry-run", check=False)
    assert "corpus.domain.source: unlocked: config/sources.lock has no entry" in done.stderr
    assert "Traceback" not in done.stderr
    assert not papers.asked
    assert (of_papers / source_lock.LOCK).read_text() == source_lock.FILE.header
    flow.current(of_papers)
    assert "make_download" in Project(of_papers).snakemake("--dry-run").stdout
    assert len(papers.asked) == 4


def test_another_answer_is_an_error_with_two_remedies_of_which_each_works(
    of_papers: Path,
    papers: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = flow.current(of_papers)
    name = domain(of_papers).lock_name
    old = source_lock.entries(of_papers)[name]
    shutil.rmtree(of_papers / "scratch")

    def shorter(request: Request) -> tuple[int, bytes]:
        start = int(request.query["start"])
        return 200, arxiv_page(start).replace(b"software testing", b"the testing of software")

    papers.answer = shorter
    node = flow.current(of_papers).of_stage("download")[1]
    with pytest.raises(VariorumError) as error:
        flow.make(of_papers, node)
    assert f"expected {old.sha256}, as config/sources.lock says" in str(error.value)
    assert f"`dvc pull` results/{node.ref}, if a clone stored it" in str(error.value)
    assert f"`variorum lock --accept '{name}'`" in str(error.value)
    assert "kept at scratch/downloads/" in str(error.value)
    assert not Store(of_papers).folder(node.ref).exists()

    monkeypatch.chdir(of_papers)
    monkeypatch.setattr(sys, "argv", ["variorum", "lock", "--accept", name])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert f"was {old}" in capsys.readouterr().out
    after = flow.current(of_papers)
    assert after.last.ref != before.last.ref
    flow.make(of_papers, after.of_stage("download")[1])


def test_what_no_configuration_names_cannot_be_asked_again(of_papers: Path) -> None:
    flow.current(of_papers)
    name = domain(of_papers).lock_name
    experiment = of_papers / "config/experiments/micro.yaml"
    experiment.write_text(experiment.read_text().replace("all:testing", "all:trying"))
    with pytest.raises(VariorumError, match="no configuration file uses arxiv"):
        source_lock.accept(name, of_papers)


def test_one_source_that_gives_nothing_does_not_keep_others_from_being_locked(
    of_papers: Path, papers: Server
) -> None:
    (of_papers / "config/experiments/another.yaml").write_text(
        "title: Another\ncorpus:\n  base:\n    source:\n      kind: url\n"
        "      url: http://127.0.0.1:9/a.txt\n  domain: null\n"
    )
    with pytest.raises(VariorumError, match=r"^http://127.0.0.1:9/a.txt cannot be reached"):
        source_lock.resolve(of_papers)
    assert list(source_lock.entries(of_papers)) == [domain(of_papers).lock_name]


def test_a_run_leaves_the_token_nowhere(of_songs: Path, songs: Server, tmp_path: Path) -> None:
    plan = flow.current(of_songs)
    log = tmp_path / "log.txt"
    download = plan.of_stage("download")[1]
    flow.make(of_songs, download, log)
    songs.answer = lambda request: (401, f"no: {request.authorization}".encode())
    shutil.rmtree(of_songs / "scratch/downloads")
    (of_songs / "config/sources.lock").unlink()
    with pytest.raises(VariorumError, match="status 401") as error:
        flow.current(of_songs)
    assert TOKEN not in str(error.value)
    assert any(request.authorization == f"Bearer {TOKEN}" for request in songs.asked)
    left = [*(file for file in of_songs.rglob("*") if file.is_file()), log]
    assert {"documents.jsonl", "manifest.json", "run.json", "log.txt"} <= {f.name for f in left}
    for file in left:
        assert TOKEN.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "source",
    [
        CsvSource(path="texts", text="body", where=(RowFilter(column="a", equals="b"),)),
        ArxivSource(query="x"),
        GeniusSource(artists=("x", "y")),
        SyntheticSource(),
    ],
    ids=lambda source: str(source.kind),
)
def test_what_is_left_out_of_a_key_is_at_its_omitted_value(source: Source) -> None:
    stage = DownloadStage(source=source)
    assert restored(DownloadStage, canonical(stage)) == stage


def test_the_examples_of_the_documentation_are_settings() -> None:
    text = (ROOT / "docs/corpus.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    written = [line for block in blocks for line in re.split(r"\n(?=source:)", block)]
    kinds = {
        DownloadStage.model_validate(YAML(typ="safe").load(example)).source.kind
        for example in written
    }
    assert kinds == set(KINDS)


def test_a_known_entropy_gets_to_the_report_beside_the_models(micro: Project) -> None:
    root = with_domain(
        micro, "kind: synthetic, alphabet_size: 5, documents: 30, length: 200, order: 1"
    )
    plan = flow.current(root)
    flow.finish(root, plan)
    facts = Store(root).open(plan.of_stage("download")[1].ref).json("facts.json")
    page = re.sub(r"<[^>]+>", "", Store(root).open(plan.last.ref).file("report.html").read_text())
    assert f"the entropy of the language is {facts['entropy']:.3f}." in page
    assert "a made-up language of 5 letters" in page


def test_bad_rows_of_a_table_are_on_the_page(micro: Project) -> None:
    root = with_domain(micro, "kind: csv, path: rows.csv, text: body, group: page")
    rows = [f"{n},line {n} of the sun and moon and star {n * n}" for n in range(60)]
    rows[20] = "20"
    (root / "rows.csv").write_text("page,body\n" + "\n".join(rows))
    plan = flow.current(root)
    flow.finish(root, plan)
    page = Store(root).open(plan.last.ref).file("report.html").read_text()
    page = re.sub(r"</?(data|span)[^>]*>", "", page)
    assert "1 file read as utf-8, commas between columns." in page
    assert re.search(r"<summary[^>]*>rows dropped 1</summary>", page)
    assert "rows.csv, line 22: 1 column where the header has 2" in page
