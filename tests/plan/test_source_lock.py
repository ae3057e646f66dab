"""Sources are pinned at planning: files by what they hold, addresses by what they once held."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flow
from conftest import ROOT, Project
from one_server import ENTRY, TEXT, Handler, Server, lock, pinned_by, serving, take_base_from
from variorum.base.errors import VariorumError
from variorum.corpus.sources.files import FilesSource
from variorum.corpus.sources.url import UrlSource
from variorum.plan import source_lock
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import load_experiment


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as served:
        yield served


@pytest.fixture
def from_server(micro: Project, server: Server) -> Path:
    """A project whose base corpus is on the server, without a checksum."""
    take_base_from(server, micro.root)
    return micro.root


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
    assert lock(from_server).read_text() == source_lock.FILE.header
    pinned_by(from_server)
    plan_experiment(load_experiment(from_server), from_server, offline=True)


def test_a_checksum_in_the_settings_needs_no_lock(micro: Project) -> None:
    source = UrlSource(url="http://127.0.0.1:1/a.txt", sha256="0" * 64)
    assert source_lock.pinned(source, micro.root) == source
    assert lock(micro.root).read_text() == source_lock.FILE.header


def test_an_address_that_gives_nothing_is_refused_and_not_locked(
    from_server: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.send_error(404))
    with pytest.raises(VariorumError, match="the server answered 404"):
        flow.current(from_server)
    assert lock(from_server).read_text() == source_lock.FILE.header


@pytest.mark.parametrize("name", ["text.txt?a=1: b #c", "%22text%22", "käse.txt", "- x: [1"])
def test_the_lock_holds_any_address_beside_others(
    micro: Project, server: Server, name: str
) -> None:
    address = server.address.replace("text.txt", name)
    first = source_lock.pinned(UrlSource(url=server.address), micro.root)
    second = source_lock.pinned(UrlSource(url=address), micro.root)
    for known in (first, second):
        unpinned = known.model_copy(update={"sha256": None})
        assert source_lock.pinned(unpinned, micro.root, offline=True) == known
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
        source_lock.accept(server.address, from_server)
    assert lock(from_server).read_bytes() == data
    assert not server.asked


def test_a_fault_of_the_locks_syntax_is_named_with_its_line(from_server: Path) -> None:
    lock(from_server).write_text(f"{GOOD}a: [b\n{GOOD}")
    with pytest.raises(VariorumError, match=r"config/sources.lock:\d: cannot be read"):
        flow.current(from_server)


def test_the_lock_is_there_before_anything_is_locked() -> None:
    assert lock(ROOT).read_text() == source_lock.FILE.text(source_lock.entries(ROOT)), (
        "DVC looks for it"
    )


def test_without_a_lock_one_is_made(from_server: Path) -> None:
    lock(from_server).unlink()
    sha256 = pinned_by(from_server)
    assert [entry.sha256 for entry in source_lock.entries(from_server).values()] == [sha256]


def test_an_empty_lock_is_no_damage(from_server: Path) -> None:
    lock(from_server).write_text(source_lock.FILE.header)
    assert pinned_by(from_server) == hashlib.sha256(TEXT).hexdigest()


addresses = st.dictionaries(
    st.text(min_size=1, max_size=30).map("http://example.org/{}".format),
    st.builds(
        source_lock.LockedSource, st.integers(0, 2**256 - 1).map("{:064x}".format), st.integers(0)
    ),
    max_size=5,
)


@given(addresses, st.randoms())
def test_the_lock_gives_back_what_was_written_in_one_order(
    known: dict[str, source_lock.LockedSource], random: Random
) -> None:
    shuffled = list(known.items())
    random.shuffle(shuffled)
    text = source_lock.FILE.text(known)
    assert source_lock.FILE.parse(text) == known
    assert source_lock.FILE.text(dict(shuffled)) == text


def test_a_new_entry_leaves_the_lines_of_others_as_they_are() -> None:
    two = {"http://b.org": ENTRY, "http://c.org": ENTRY}
    before = source_lock.FILE.text(two).splitlines()
    after = source_lock.FILE.text(
        {**two, "http://a.org": ENTRY, "http://d.org": ENTRY}
    ).splitlines()
    assert len(after) == len(before) + 6
    assert "\n".join(before[1:]) in "\n".join(after)


# Several at once

PLANNER = """
import sys
from pathlib import Path
from variorum.plan import source_lock
from variorum.corpus.sources.url import UrlSource
print(source_lock.pinned(UrlSource(url=sys.argv[2]), Path(sys.argv[1])).sha256)
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
    assert source_lock.entries(from_server).keys() == set(addresses)
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
    assert source_lock.pinned(source, micro.root) == source
