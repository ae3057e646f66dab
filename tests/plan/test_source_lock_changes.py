"""The lock of sources: its remedies, its command, and who may ask the network."""

import hashlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import flow
from conftest import Command, Project
from one_server import ENTRY, TEXT, Handler, Server, lock, pinned_by, serving, take_base_from
from variorum.base.errors import VariorumError
from variorum.corpus import http_download
from variorum.corpus.fetch_context import context_of
from variorum.corpus.sources.url import UrlSource
from variorum.plan import source_lock
from variorum.plan.loading import load_experiment
from variorum.snakemake import Flow
from variorum.store.store import Store


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as served:
        yield served


@pytest.fixture
def from_server(micro: Project, server: Server) -> Path:
    """A project whose base corpus is on the server, without a checksum."""
    take_base_from(server, micro.root)
    return micro.root


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
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.send_error(410))
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
    assert "Keys of all results from this source change; old results stay" in said.out
    assert source_lock.entries(from_server)[server.address].sha256 == changed[1]

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
    assert (said.code, "is unchanged" in said.out) == (0, True)
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
        source_lock.accept(server.address, from_server)
    assert not server.asked
    assert lock(from_server).read_text() == source_lock.FILE.header


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
    assert lock(from_server).read_text() == source_lock.FILE.header


def test_checking_and_accepting_at_once_makes_no_sense(variorum: Command) -> None:
    said = variorum("lock", "--locked", "--accept", "http://example.org/a.txt")
    assert (said.code, "give only one" in said.err) == (1, True)


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
    assert lock(from_server).read_text() == source_lock.FILE.header
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
        lock(from_server).write_text(source_lock.FILE.text({url.url: ENTRY}))
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
    lock(from_server).write_text(source_lock.FILE.text({server.address: ENTRY}))
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
        f"unlocked: {source_lock.LOCK} has no entry for {server.address}"
        in done.stdout + done.stderr
    )
    assert not server.asked
    source_lock.resolve(from_server)
    before = list(server.asked)
    assert "make_download" in project.snakemake("--dry-run").stdout
    assert server.asked == before


def test_the_sockets_of_these_tests_do_refuse(
    no_network: list[str], server: Server, tmp_path: Path
) -> None:
    with pytest.raises(VariorumError, match="cannot be reached"):
        http_download.download(server.address, None, context_of(tmp_path, print))
    assert no_network
