"""Sources are pinned at planning: files by what they hold, addresses by what they once held."""

import hashlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import flow
from conftest import Project
from variorum import sources
from variorum.config import FilesSource, UrlSource
from variorum.corpus.sources import url
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
    monkeypatch.setattr(url, "_PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VARIORUM_MIRRORS", raising=False)
    served = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, served)) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        served.address = f"http://127.0.0.1:{http.server_address[1]}/a/text.txt"
        yield served
        http.shutdown()


@pytest.fixture
def from_server(micro: Project, server: Server) -> Path:
    """A project whose base corpus is on the server, without a checksum."""
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
    assert f"config/sources.lock: {server.address} = {sha256}; commit it" in announced.err
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
    with pytest.raises(VariorumError, match=r"config/sources.lock: unlocked: http://.*sha256"):
        plan_experiment(load_experiment(from_server), from_server, offline=True)
    assert not server.asked
    assert not lock(from_server).exists()
    pinned_by(from_server)
    plan_experiment(load_experiment(from_server), from_server, offline=True)


def test_an_answer_that_changed_is_refused_with_both_checksums(
    from_server: Path, server: Server
) -> None:
    expected = pinned_by(from_server)
    server.data = TEXT + b"One line more.\n"
    shutil.rmtree(from_server / "scratch")
    found = hashlib.sha256(server.data).hexdigest()
    node = flow.current(from_server).of_stage("download")[0]
    with pytest.raises(VariorumError, match=f"has SHA-256 {found}, expected {expected}") as error:
        flow.make(from_server, node)
    assert "\n" not in str(error.value)
    assert not Store(from_server).folder(node.ref).exists()


def test_a_checksum_in_the_settings_needs_no_lock(micro: Project) -> None:
    source = UrlSource(url="http://127.0.0.1:1/a.txt", sha256="0" * 64)
    assert sources.pinned(source, micro.root) == source
    assert not lock(micro.root).exists()


def test_an_address_that_gives_nothing_is_refused_and_not_locked(
    from_server: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "do_GET", lambda self: self.send_error(404))
    with pytest.raises(VariorumError, match="the server answered 404"):
        flow.current(from_server)
    assert not lock(from_server).exists()


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


@pytest.mark.parametrize(
    "content",
    [
        "http://example.org/a.txt: 3\n",
        "http://example.org/a.txt: {bytes: 3}\n",
        "- http://example.org/a.txt\n",
        "a: [b\n",
        "just words\n",
        b"\xff\xfe",
    ],
)
def test_a_damaged_lock_is_refused_and_kept(
    from_server: Path, server: Server, content: str | bytes
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    lock(from_server).write_bytes(data)
    with pytest.raises(VariorumError, match="restore it with git checkout"):
        flow.current(from_server)
    assert lock(from_server).read_bytes() == data
    assert not server.asked


def test_an_empty_lock_is_no_damage(from_server: Path) -> None:
    lock(from_server).write_text(sources.HEADER)
    assert pinned_by(from_server) == hashlib.sha256(TEXT).hexdigest()


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
