"""Sources are pinned at planning: files by what they hold, addresses by what they once held."""

import hashlib
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flow
from conftest import ROOT, Command, Project
from variorum import sources
from variorum.corpus import http_download
from variorum.corpus.fetching import context_of
from variorum.corpus.sources.files import FilesSource
from variorum.corpus.sources.url import UrlSource
from variorum.engines.workflow import Flow
from variorum.errors import VariorumError
from variorum.experiments import load_experiment
from variorum.plan import plan_experiment
from variorum.store import Store

TEXT = "".join(f"Line {i} of a text on a server.\n" for i in range(400)).encode()


@dataclass
class Server:
    """What it serves, at which address, and how often it was asked."""

    data: bytes = TEXT
    asked: list[str] = field(default_factory=list)
    address: str = ""


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, served: Server, *arguments: Any) -> None:
        self.served = served
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.served.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.served.data)))
        self.end_headers()
        self.wfile.write(self.served.data)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http_download, "_PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VARIORUM_MIRRORS", raising=False)
    monkeypatch.delenv("VARIORUM_LOCKED", raising=False)
    served = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, served)) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        served.address = f"http://127.0.0.1:{http.server_address[1]}/a/text.txt"
        yield served
        http.shutdown()


@pytest.fixture
def from_server(micro: Project, server: Server) -> Path:
    """A project whose base corpus is on the server, without a checksum.

    Without the experiments that ask other servers: no test may.
    """
    for name in ("arxiv", "lyrics"):
        (micro.root / f"config/experiments/{name}.yaml").unlink()
    (micro.root / "config/config.yaml").write_text(
        "experiment: micro\n"
        f"corpus: {{base: {{source: {{kind: url, url: '{server.address}'}}, "
        "split: {by: position}}}\n"
    )
    return micro.root


def pinned_by(root: Path) -> str:
    """The SHA-256 that the base corpus's key stands on."""
    sha256: str = flow.current(root).of_stage("download")[0].spec.settings["source"]["sha256"]
    return sha256


def lock(root: Path) -> Path:
    return root / sources.LOCK


# Addresses


def test_an_address_is_locked_once_announced_and_then_needs_no_network(
    from_server: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    sha256 = hashlib.sha256(TEXT).hexdigest()
    assert pinned_by(from_server) == sha256
    announced = capsys.readouterr()
    assert announced.out == ""
    assert f"locking {server.address}" in announced.err
    entry = f"{sha256} ({len(TEXT):,} bytes)"
    assert f"config/sources.lock: {server.address} = {entry}; commit it" in announced.err
    written = lock(from_server).read_text()
    assert sha256 in written
    assert str(len(TEXT)) in written
    assert "commit this file" in written.splitlines()[0]

    server.data = b"something else"
    shutil.rmtree(from_server / "scratch")
    assert pinned_by(from_server) == sha256
    assert lock(from_server).read_text() == written
    assert len(server.asked) == 1
    assert capsys.readouterr().err == ""


def test_what_was_downloaded_to_lock_is_not_downloaded_again(
    from_server: Path, server: Server
) -> None:
    node = flow.current(from_server).of_stage("download")[0]
    flow.make(from_server, node)
    assert len(server.asked) == 1


def test_offline_an_unlocked_address_is_an_error_and_the_server_is_not_asked(
    from_server: Path, server: Server
) -> None:
    unlocked = r"^config/config.yaml:2: corpus.base.source: unlocked: .*http://.*variorum lock"
    with pytest.raises(VariorumError, match=unlocked):
        plan_experiment(load_experiment(from_server), from_server, offline=True)
    assert not server.asked
    assert lock(from_server).read_text() == sources.HEADER
    pinned_by(from_server)
    plan_experiment(load_experiment(from_server), from_server, offline=True)


def test_a_checksum_in_the_settings_needs_no_lock(micro: Project) -> None:
    source = UrlSource(url="http://127.0.0.1:1/a.txt", sha256="0" * 64)
    assert sources.pinned(source, micro.root) == source
    assert lock(micro.root).read_text() == sources.HEADER


def test_an_address_that_gives_nothing_is_refused_and_not_locked(
    from_server: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "do_GET", lambda self: self.send_error(404))
    with pytest.raises(VariorumError, match="the server answered 404"):
        flow.current(from_server)
    assert lock(from_server).read_text() == sources.HEADER


@pytest.mark.parametrize("name", ["text.txt?a=1: b #c", "%22text%22", "käse.txt", "- x: [1"])
def test_the_lock_holds_any_address_beside_others(
    micro: Project, server: Server, name: str
) -> None:
    address = server.address.replace("text.txt", name)
    first = sources.pinned(UrlSource(url=server.address), micro.root)
    second = sources.pinned(UrlSource(url=address), micro.root)
    for known in (first, second):
        unpinned = known.model_copy(update={"sha256": None})
        assert sources.pinned(unpinned, micro.root, offline=True) == known
    assert len(server.asked) == 2


GOOD = f'"http://example.org/a.txt":\n  sha256: "{"0" * 64}"\n  bytes: 3\n'


@pytest.mark.parametrize(
    "content",
    [
        "http://example.org/a.txt: 3\n",
        "http://example.org/a.txt: {bytes: 3}\n",
        "- http://example.org/a.txt\n",
        "a: [b\n",
        "just words\n",
        b"\xff\xfe",
        GOOD.replace("0", "x"),
        GOOD.replace("0" * 64, "abc"),
        GOOD.replace("3", "-3"),
        GOOD.replace("3", "'3'"),
        GOOD + GOOD,
        f"<<<<<<< HEAD\n{GOOD}=======\n{GOOD}>>>>>>> other\n",
        GOOD[: len(GOOD) // 2],
    ],
)
def test_a_damaged_lock_is_refused_in_one_line_and_kept(
    from_server: Path, server: Server, content: str | bytes
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    lock(from_server).write_bytes(data)
    with pytest.raises(VariorumError, match=r"config/sources.lock.*restore it with `git") as error:
        flow.current(from_server)
    assert "\n" not in str(error.value)
    with pytest.raises(VariorumError, match=r"config/sources.lock.*restore it with `git"):
        sources.accept(server.address, from_server)
    assert lock(from_server).read_bytes() == data
    assert not server.asked


def test_a_fault_of_the_locks_syntax_is_named_with_its_line(from_server: Path) -> None:
    lock(from_server).write_text(f"{GOOD}a: [b\n{GOOD}")
    with pytest.raises(VariorumError, match=r"config/sources.lock:\d: cannot be read"):
        flow.current(from_server)


def test_the_lock_is_there_before_anything_is_locked() -> None:
    assert lock(ROOT).read_text() == sources.written(sources.entries(ROOT)), "DVC looks for it"


def test_without_a_lock_one_is_made(from_server: Path) -> None:
    lock(from_server).unlink()
    sha256 = pinned_by(from_server)
    assert [entry.sha256 for entry in sources.entries(from_server).values()] == [sha256]


def test_an_empty_lock_is_no_damage(from_server: Path) -> None:
    lock(from_server).write_text(sources.HEADER)
    assert pinned_by(from_server) == hashlib.sha256(TEXT).hexdigest()


addresses = st.dictionaries(
    st.text(min_size=1, max_size=30).map("http://example.org/{}".format),
    st.builds(sources.Entry, st.integers(0, 2**256 - 1).map("{:064x}".format), st.integers(0)),
    max_size=5,
)


@given(addresses, st.randoms())
def test_the_lock_gives_back_what_was_written_in_one_order(
    known: dict[str, sources.Entry], random: Random
) -> None:
    shuffled = list(known.items())
    random.shuffle(shuffled)
    text = sources.written(known)
    assert sources.read(text) == known
    assert sources.written(dict(shuffled)) == text


def test_a_new_entry_leaves_the_lines_of_others_as_they_are() -> None:
    two = {"http://b.org": ENTRY, "http://c.org": ENTRY}
    before = sources.written(two).splitlines()
    after = sources.written({**two, "http://a.org": ENTRY, "http://d.org": ENTRY}).splitlines()
    assert len(after) == len(before) + 6
    assert "\n".join(before[1:]) in "\n".join(after)


ENTRY = sources.Entry("0" * 64, 1)


# The lock's two remedies when an answer changed


@pytest.fixture
def changed(from_server: Path, server: Server) -> tuple[str, str]:
    """What was locked, and what the server gives now: a day later, in a place without a cache."""
    expected = pinned_by(from_server)
    server.data = TEXT + b"One line more.\n"
    shutil.rmtree(from_server / "scratch")
    return expected, hashlib.sha256(server.data).hexdigest()


def refusal(root: Path) -> str:
    """What making the download says."""
    node = flow.current(root).of_stage("download")[0]
    with pytest.raises(VariorumError) as error:
        flow.make(root, node)
    assert not Store(root).folder(node.ref).exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_answer_that_changed_is_refused_with_both_checksums_and_both_remedies(
    from_server: Path, server: Server, changed: tuple[str, str]
) -> None:
    key = flow.current(from_server).of_stage("download")[0].ref
    said = refusal(from_server)
    assert f"has SHA-256 {changed[1]}, expected {changed[0]}, as config/sources.lock says" in said
    assert "kept at scratch/downloads/" in said
    assert f"`dvc pull` results/{key}, if a clone stored it" in said
    assert f"`variorum lock --accept {server.address}`" in said


def test_the_refusal_names_the_file_that_a_clone_stored(
    from_server: Path, changed: tuple[str, str]
) -> None:
    key = flow.current(from_server).of_stage("download")[0].ref
    stored = from_server / f"results/{key}.dvc"
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_text("outs: []\n")
    assert f"`dvc pull results/{key}.dvc`" in refusal(from_server)


def test_an_address_that_is_gone_can_be_had_from_what_was_stored(
    from_server: Path, changed: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "do_GET", lambda self: self.send_error(410))
    assert "dvc pull" not in refusal(from_server)
    key = flow.current(from_server).of_stage("download")[0].ref
    stored = from_server / f"results/{key}.dvc"
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_text("outs: []\n")
    said = refusal(from_server)
    assert "the server answered 410" in said
    assert f"`dvc pull results/{key}.dvc`" in said


def test_where_the_settings_gave_the_checksum_they_are_what_to_change(
    from_server: Path, server: Server
) -> None:
    given = {"corpus": {"base": {"source": {"sha256": "0" * 64}}}}
    node = flow.current(from_server, **given).of_stage("download")[0]
    found = hashlib.sha256(TEXT).hexdigest()
    with pytest.raises(VariorumError, match=rf"\(source.sha256: {found}\)") as error:
        flow.make(from_server, node)
    assert "lock" not in str(error.value)


def test_accepting_replaces_the_entry_changes_keys_and_leaves_old_results(
    from_server: Path, server: Server, changed: tuple[str, str], variorum: Command
) -> None:
    server.data = TEXT
    before = flow.current(from_server)
    flow.make(from_server, before.of_stage("download")[0])
    old_lock = lock(from_server).read_text()
    server.data = TEXT + b"One line more.\n"

    said = variorum("lock", "--accept", server.address)
    assert said.code == 0
    assert f"was {changed[0]} ({len(TEXT):,} bytes)" in said.out
    assert f"is  {changed[1]} ({len(server.data):,} bytes)" in said.out
    assert "Keys of all that is made from it change; old results stay" in said.out
    assert sources.entries(from_server)[server.address].sha256 == changed[1]

    after = flow.current(from_server)
    assert not {node.ref for node in before.of_stage("pretrain")} & after.nodes.keys()
    flow.make(from_server, after.of_stage("download")[0])
    assert Store(from_server).exists(before.of_stage("download")[0].ref)
    lock(from_server).write_text(old_lock)
    assert flow.current(from_server).last.ref == before.last.ref


def test_accepting_the_same_bytes_changes_nothing(
    from_server: Path, server: Server, variorum: Command
) -> None:
    pinned_by(from_server)
    before = lock(from_server).read_bytes()
    said = variorum("lock", "--accept", server.address)
    assert (said.code, "stays as it was" in said.out) == (0, True)
    assert lock(from_server).read_bytes() == before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "config/sources.lock has no entry for http://.*; it has none at all"),
        (f', sha256: "{"0" * 64}"', "config/config.yaml:2: gives the sha256 of http://.* itself"),
    ],
)
def test_only_what_is_locked_can_be_accepted_anew(
    from_server: Path, server: Server, config: str, message: str
) -> None:
    file = from_server / "config/config.yaml"
    file.write_text(file.read_text().replace("text.txt'", f"text.txt'{config}"))
    with pytest.raises(VariorumError, match=message):
        sources.accept(server.address, from_server)
    assert not server.asked
    assert lock(from_server).read_text() == sources.HEADER


# The command, and what only checks


@pytest.fixture
def variorum(from_server: Path, variorum: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in this process, inside the project."""
    monkeypatch.chdir(from_server)
    return variorum


@pytest.fixture
def three_unlocked(from_server: Path, server: Server) -> list[str]:
    """Files and lines of three addresses: of the current experiment, another, and a variant."""
    folder, other = from_server / "config", server.address.replace("text", "other")
    domain = "  domain: null\n"
    (folder / "experiments/other.yaml").write_text(
        "title: Another\ncorpus:\n  base:\n    source:\n      kind: url\n"
        f"      url: {other}\n{domain}"
    )
    (folder / "ablations/texts.yaml").write_text(
        "title: Which text?\nquestion: Which?\nexperiment: micro\nbaseline: a\nvariants:\n  a: {}\n"
        f"  b:\n    corpus: {{base: {{source: {{kind: url, url: '{other}?b'}}}}}}\n"
    )
    return [
        f"config/config.yaml:2: config/sources.lock has no entry for {server.address}",
        f"config/experiments/other.yaml:6: config/sources.lock has no entry for {other}",
        f"config/ablations/texts.yaml:8: config/sources.lock has no entry for {other}?b",
    ]


def test_lock_resolves_every_missing_entry_of_the_tree_once(
    server: Server, variorum: Command, three_unlocked: list[str], from_server: Path
) -> None:
    assert variorum("lock").out == "3 sources locked, 3 of them new\n"
    assert len(server.asked) == 3
    before = lock(from_server).read_bytes()
    assert variorum("lock").out == "3 sources locked, 0 of them new\n"
    assert variorum("lock", "--locked").code == 0
    assert len(server.asked) == 3
    assert lock(from_server).read_bytes() == before


def test_lock_locked_names_each_missing_entry_and_asks_nobody(
    server: Server, variorum: Command, three_unlocked: list[str], from_server: Path
) -> None:
    said = variorum("lock", "--locked")
    assert said.code == 1
    lines = said.err.splitlines()
    assert len(lines) == 3
    for line, expected in zip(lines, three_unlocked, strict=True):
        assert line.startswith(f"variorum: {expected}")
        assert "run `variorum lock`" in line
    assert not server.asked
    assert lock(from_server).read_text() == sources.HEADER


def test_checking_and_accepting_at_once_makes_no_sense(variorum: Command) -> None:
    said = variorum("lock", "--locked", "--accept", "http://example.org/a.txt")
    assert (said.code, "give one of them" in said.err) == (1, True)


@pytest.mark.parametrize("value", ["1", "true"])
def test_where_the_environment_forbids_it_no_entry_is_added_or_changed(
    from_server: Path,
    server: Server,
    variorum: Command,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
) -> None:
    monkeypatch.setenv("VARIORUM_LOCKED", value)
    with pytest.raises(VariorumError) as error:
        flow.current(from_server)
    assert str(error.value).startswith("config/config.yaml:2: corpus.base.source: unlocked: ")
    assert "VARIORUM_LOCKED forbids to add one" in str(error.value)
    assert "run `variorum lock`" in str(error.value)
    for arguments in (("lock",), ("lock", "--accept", server.address)):
        said = variorum(*arguments)
        assert (said.code, "VARIORUM_LOCKED is set" in said.err) == (1, True)
    assert not server.asked
    assert lock(from_server).read_text() == sources.HEADER
    monkeypatch.setenv("VARIORUM_LOCKED", "0")
    sha256 = pinned_by(from_server)
    monkeypatch.setenv("VARIORUM_LOCKED", value)
    assert pinned_by(from_server) == sha256
    assert variorum("lock").code == 0


def test_snakemake_refuses_to_add_an_entry_where_the_environment_forbids_it(
    from_server: Path, server: Server
) -> None:
    done = Project(from_server).snakemake(
        "download", environment={"VARIORUM_LOCKED": "1"}, check=False
    )
    assert done.returncode
    assert "variorum: config/config.yaml:2: corpus.base.source: unlocked" in done.stderr
    assert "Traceback" not in done.stderr
    assert not server.asked


# Planning and looking stay off the network


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sockets that cannot be connected; what tried to is in the list."""
    tried: list[str] = []

    def refuse(*arguments: object, **options: object) -> None:
        tried.append(str(arguments))
        raise OSError("there is no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    return tried


LOOKING = (
    ("config",),
    ("plan",),
    ("ls",),
    ("lock", "--locked"),
    ("why",),
    ("verify",),
    ("gc", "--yes"),
    ("schema",),
)


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_commands_that_only_look_stay_off_the_network(
    from_server: Path,
    variorum: Command,
    no_network: list[str],
    arguments: tuple[str, ...],
    locked: bool,
) -> None:
    if locked:
        url = load_experiment(from_server).settings.corpus.base.source
        assert isinstance(url, UrlSource)
        sources._write(from_server, {url.url: ENTRY})
    before = lock(from_server).read_bytes()
    said = variorum(*arguments)
    assert "Traceback" not in said.err
    assert not no_network
    assert lock(from_server).read_bytes() == before


def test_a_dry_run_plans_everything_without_a_network(
    from_server: Path, server: Server, no_network: list[str]
) -> None:
    flow_of = Flow(from_server, {}, dry_run=True)
    with pytest.raises(VariorumError, match="unlocked"):
        _ = flow_of.current
    sources._write(from_server, {server.address: ENTRY})
    assert Flow(from_server, {}, dry_run=True).current.of_stage("download")
    assert not no_network
    assert not server.asked


def test_snakemakes_dry_run_says_unlocked_and_asks_nothing(
    from_server: Path, server: Server
) -> None:
    project = Project(from_server)
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode
    assert (
        f"unlocked: {sources.LOCK} has no entry for {server.address}" in done.stdout + done.stderr
    )
    assert not server.asked
    sources.resolve(from_server)
    before = list(server.asked)
    assert "make_download" in project.snakemake("--dry-run").stdout
    assert server.asked == before


def test_the_sockets_of_these_tests_do_refuse(
    no_network: list[str], server: Server, tmp_path: Path
) -> None:
    with pytest.raises(VariorumError, match="cannot be reached"):
        http_download.download(server.address, None, context_of(tmp_path, print))
    assert no_network


# Several at once

PLANNER = """
import sys
from pathlib import Path
from variorum import sources
from variorum.corpus.sources.url import UrlSource
print(sources.pinned(UrlSource(url=sys.argv[2]), Path(sys.argv[1])).sha256)
"""


def test_planners_at_once_lose_no_entry_and_ask_for_each_address_once(
    from_server: Path, server: Server
) -> None:
    addresses = [server.address.replace("text", f"text{number}") for number in (1, 2, 3, 1, 2, 3)]
    planners = [
        subprocess.Popen(
            [sys.executable, "-c", PLANNER, str(from_server), address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for address in addresses
    ]
    for planner in planners:
        out, err = planner.communicate(timeout=120)
        assert out.strip() == hashlib.sha256(TEXT).hexdigest(), err
    assert sources.entries(from_server).keys() == set(addresses)
    assert sorted(server.asked) == sorted({f"/a/text{number}.txt" for number in (1, 2, 3)})


# Files


def test_files_are_hashed_at_planning_wherever_they_lie(micro: Project, tmp_path: Path) -> None:
    before = flow.current(micro.root)
    (micro.root / "texts/base/notes.csv").write_text("not of a suffix that is read")
    (micro.root / "texts").rename(tmp_path / "texts")
    (micro.root / "texts").symlink_to(tmp_path / "texts")
    assert flow.current(micro.root).last.ref == before.last.ref


def test_a_changed_file_leads_to_new_keys_of_its_corpus_alone(micro: Project) -> None:
    before = flow.current(micro.root)
    with (micro.root / "texts/domain/03.txt").open("a") as file:
        file.write("One line more.\n")
    after = flow.current(micro.root)
    for stage in ("download", "normalize", "encode"):
        base, domain = (node.ref for node in after.of_stage(stage))
        assert base == before.of_stage(stage)[0].ref
        assert domain != before.of_stage(stage)[1].ref
    assert after.of_stage("pretrain")[0].ref == before.of_stage("pretrain")[0].ref
    assert after.of_stage("finetune")[0].ref != before.of_stage("finetune")[0].ref


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("texts/nowhere", "source.path: texts/nowhere .*no such file or folder"),
        ("texts/empty", "no file that ends in .txt or .md; correct source.path or source.suff"),
        ("texts/base/*.md", "no file that fits it as a pattern"),
    ],
)
def test_missing_files_are_refused_at_planning_naming_the_setting(
    micro: Project, path: str, message: str
) -> None:
    (micro.root / "texts/empty").mkdir()
    with pytest.raises(VariorumError, match=message) as error:
        flow.current(micro.root, corpus={"domain": {"source": {"path": path}}})
    assert "\n" not in str(error.value)


def test_a_checksum_of_files_in_the_settings_is_kept(micro: Project) -> None:
    source = FilesSource(path="texts/nowhere", sha256="0" * 64)
    assert sources.pinned(source, micro.root) == source
