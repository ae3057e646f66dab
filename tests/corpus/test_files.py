import glob
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.corpus import local_files
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.sources import files
from variorum.corpus.sources.files import FilesSource

NAMES = ("b.txt", "a/c.TXT", "a/b.md", "a-b.txt", "a/notes.rst", ".hidden/d.txt", "Z.txt")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        file = tmp_path / "texts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text of {name}")
    return tmp_path


def names(path: str, root: Path, suffixes: tuple[str, ...] = (".txt", ".md")) -> list[str]:
    found = local_files.find(path, suffixes, root)
    return [file.relative_to(root / "texts").as_posix() for file in found]


def fetched(root: Path, path: str, **settings):
    context = FetchContext(root, root, report=lambda line: None)
    return list(files.fetch(FilesSource(path=path, **settings), context))


def test_a_folder_gives_its_texts_sorted_without_hidden_ones(root):
    assert names("texts", root) == ["Z.txt", "a-b.txt", "a/b.md", "a/c.TXT", "b.txt"]
    assert names("texts", root, (".rst",)) == ["a/notes.rst"]
    assert len(names("texts", root, ())) == 6


def test_a_file_and_a_pattern_are_taken_as_they_are(root):
    assert names("texts/a/notes.rst", root) == ["a/notes.rst"]
    assert names("texts/*.txt", root) == ["Z.txt", "a-b.txt", "b.txt"]
    assert names("texts/**/*.md", root) == ["a/b.md"]
    assert names("texts/**", root) == [
        "Z.txt",
        "a-b.txt",
        "a/b.md",
        "a/c.TXT",
        "a/notes.rst",
        "b.txt",
    ]
    assert names(str(root / "texts" / "[Zb].txt"), root) == ["Z.txt", "b.txt"]


def test_a_name_with_wildcards_in_it_is_a_name_first(root):
    (root / "texts" / "x[1].txt").write_text("one")
    assert names("texts/x[1].txt", root) == ["x[1].txt"]


@pytest.mark.parametrize("path", ["absent", "texts/*.csv", "texts/absent/*.txt"])
def test_nothing_found_names_the_setting(root, path):
    with pytest.raises(VariorumError, match=r"source\.path: .*correct source\.path"):
        local_files.find(path, (".txt",), root)


def test_a_home_folder_of_nobody_is_one_clear_error(root):
    with pytest.raises(VariorumError, match=r"source\.path: ~no-such-user/x: no home folder"):
        local_files.find("~no-such-user/x", (".txt",), root)


def test_no_file_of_these_endings_names_both_settings(root):
    with pytest.raises(VariorumError, match=r"ends in \.csv or \.tsv.*source\.suffixes"):
        local_files.find("texts", (".csv", ".tsv"), root)


def test_a_document_is_grouped_by_its_path_from_the_folder_named(root):
    documents = fetched(root, "texts/a", suffixes=[".md", ".txt"])
    assert [(d.id, d.group, d.text) for d in documents] == [
        ("b.md", "b.md", "text of a/b.md"),
        ("c.TXT", "c.TXT", "text of a/c.TXT"),
    ]


def test_the_digest_is_of_names_and_bytes_wherever_they_lie(root):
    before = local_files.digest("texts", (".txt",), root)
    (root / "texts" / "notes.rst").write_text("not among them")
    (root / "texts").rename(root / "moved")
    assert local_files.digest(str(root / "moved"), (".txt",), root / "elsewhere") == before
    (root / "moved" / "b.txt").rename(root / "moved" / "bb.txt")
    renamed = local_files.digest("moved", (".txt",), root)
    (root / "moved" / "bb.txt").write_text("other")
    assert len({before, renamed, local_files.digest("moved", (".txt",), root)}) == 3


def test_another_checksum_is_refused(root):
    right = local_files.digest("texts", (".txt",), root)
    assert fetched(root, "texts", suffixes=[".txt"], sha256=right)
    with pytest.raises(VariorumError, match=rf"{right}, expected {'0' * 64}"):
        fetched(root, "texts", suffixes=[".txt"], sha256="0" * 64)


def test_a_file_that_is_no_utf_8_is_named_with_the_offset(root):
    (root / "texts" / "b.txt").write_bytes(b"caf\xe9")
    with pytest.raises(VariorumError, match=r"b\.txt is no UTF-8: byte 3"):
        fetched(root, "texts")


def test_files_without_text_are_refused(root):
    (root / "texts" / "b.txt").write_text(" \n")
    with pytest.raises(VariorumError, match=r"source\.path: .*hold no text"):
        fetched(root, "texts/b.txt")


# --- links ---


def test_a_link_to_a_folder_that_holds_it_gives_nothing_twice(root):
    for place, target in (("l1", "."), ("l2", "."), ("a/up", ".."), ("a/root", "../..")):
        (root / "texts" / place).symlink_to(target)
    assert names("texts", root) == ["Z.txt", "a-b.txt", "a/b.md", "a/c.TXT", "b.txt"]
    assert names("texts/**/*.md", root) == ["a/b.md"]
    (root / "texts/a/up").unlink()
    assert names("texts/a/**", root) == ["a/b.md", "a/c.TXT", "a/notes.rst"]


def test_a_linked_folder_is_read_once_and_called_by_its_real_name(root):
    (root / "far").mkdir()
    (root / "far/x.txt").write_text("far away")
    (root / "far/back").symlink_to(root / "far")
    for place in ("0", "a/far"):
        (root / "texts" / place).symlink_to(root / "far")
    (root / "texts/1").symlink_to(root / "texts/a")
    assert names("texts", root, (".txt",)) == ["0/x.txt", "Z.txt", "a-b.txt", "a/c.TXT", "b.txt"]


def test_a_folder_that_is_a_link_is_read(root):
    (root / "link").symlink_to("texts")
    assert len(local_files.find("link", (".txt", ".md"), root)) == 5


def test_a_link_to_nothing_is_named(root):
    (root / "texts/gone.txt").symlink_to("absent.txt")
    (root / "texts/loop.rst").symlink_to("loop.rst")
    with pytest.raises(VariorumError, match=r"gone\.txt is a link to nothing; remove it"):
        local_files.find("texts", (".txt",), root)
    with pytest.raises(VariorumError, match=r"loop\.rst is a link to nothing"):
        local_files.find("texts/*.rst", (), root)
    assert names("texts", root, (".md",)) == ["a/b.md"]


def test_a_folder_that_cannot_be_read_is_named(root, monkeypatch):
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(VariorumError, match=r"texts/a cannot be read \(Permission denied\)"):
        local_files.find("texts", (".txt",), root)


PLACES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "b", ".h", "c.d"]), max_size=2),
        st.sampled_from(["x.txt", "y.md", ".z.txt", "b.txt"]),
    ),
    max_size=15,
)
PATTERNS = (
    *("**", "*", "**/*.txt", "a/**", "*/x.txt", "**/a/**", "**/**/b.txt", "a/*/*.txt", ".h/*"),
    *("**/.h/*", ".*/**", "a/x.txt", "a/../**/*.md", "[ab]*/**/?.txt", "*.d/*"),
)


@given(PLACES, st.sampled_from(PATTERNS))
def test_without_links_a_pattern_means_what_it_means_to_glob(places, pattern):
    with TemporaryDirectory() as folder:
        for folders, name in places:
            place = Path(folder, *folders, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("text")
        wanted = {
            os.path.normpath(name)
            for name in glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
            if Path(folder, name).is_file()
        }
        try:
            found = local_files.find(f"{folder}/{pattern}", (), Path("/"))
        except VariorumError:
            found = []
        assert {os.path.relpath(file, folder) for file in found} == wanted
