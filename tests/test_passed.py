"""A test is left out only if it passed while all that it depends on was as it is."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import ROOT
from passed import HOURS, Files, KeepPassed, UnknownFilesError

CONFTEST = """
from pathlib import Path
import passed

def pytest_addoption(parser):
    parser.addoption("--skip-passed", action="store_true")

def pytest_configure(config):
    root = Path(__file__).parents[1]
    passed.register(config, root, root / ".cache/passed")
"""
PASSES = "def test_passes(): pass\ndef test_passes_too(): pass\n"
FAILS = """
import pytest

@pytest.fixture(scope="module", autouse=True)
def shared():
    yield
    raise OSError

def test_passes(): pass
def test_passes_last(): pass
"""
SKIPS = "import pytest\n@pytest.mark.skip\ndef test_is_skipped(): pass\ndef test_passes(): pass\n"
FILES = {
    ".gitignore": ".cache/\n.pytest_cache/\n__pycache__/\nignored*\n",
    "src/code.py": "",
    "tests/conftest.py": CONFTEST,
    "tests/test_whole.py": "def test_of_all(): pass\n",
    "tests/model/test_model.py": PASSES,
    "tests/model/helps.py": "",
    "tests/report/test_report.py": "def test_of_the_report(): pass\n",
}
MODEL, REPORT, WHOLE = (
    "tests/model/test_model.py",
    "tests/report/test_report.py",
    "tests/test_whole.py",
)
GOOD = {"setup": "passed", "call": "passed", "teardown": "passed"}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small project with tests, whose files are older than any run of them."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    time.sleep(0.02)  # so far apart are times of files
    return tmp_path


def keeper(root: Path, *, hours: float = 0) -> KeepPassed:
    """The plugin, so many hours later."""
    found = KeepPassed(root, root / ".cache/passed", leave_out=True)
    found.started += hours * 3600
    return found


def run(root: Path, *options: str, ci: str = "") -> tuple[int, str]:
    """Run its tests; return how that ended and the last lines."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist.plugin", *options],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "tests"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "CI": ci,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_second_run_leaves_out_the_files_that_passed(small: Path) -> None:
    (small / "tests/test_fails.py").write_text(FAILS)
    (small / "tests/test_skips.py").write_text(SKIPS)
    time.sleep(0.02)
    code, said = run(small, "-n", "2", "--dist", "loadfile")
    assert code == 1
    assert "7 passed, 1 skipped, 1 error" in said
    code, said = run(small, "--skip-passed", "-n", "2", "--dist", "loadfile")
    assert code == 1
    assert "left out: 5 tests that passed within" in said
    assert "2 passed, 1 skipped, 1 error" in said, "all of a file in which one fails"
    code, said = run(small, "--skip-passed", "tests/report")
    assert code == 0, "that nothing is left to run is no failure"
    assert "left out: 1 tests" in said
    code, said = run(small, "--skip-passed", "tests/report", ci="true")
    assert "1 passed" in said, "CI leaves nothing out"


# What a test depends on

DEPENDS = {
    WHOLE: set(FILES),
    MODEL: set(FILES) - {REPORT},
    REPORT: set(FILES) - {MODEL},
}


@pytest.mark.parametrize("how", ["write", "chmod", "unlink", "link"])
@pytest.mark.parametrize("edited", FILES)
def test_a_test_depends_on_all_but_the_tests_of_other_folders(
    small: Path, edited: str, how: str
) -> None:
    before, file = Files(small), small / edited
    text = file.read_text()
    if how == "chmod":
        file.chmod(0o755)
    elif how == "write":
        file.write_text(f"{text}# edited\n")
    else:
        file.unlink()
    if how == "link":
        (small / "ignored").write_text(text)
        file.symlink_to(small / "ignored")
    after = Files(small)
    for test, files in DEPENDS.items():
        differs = before.digest(small / test) != after.digest(small / test)
        assert differs == (edited in files), test


def test_new_files_count_and_those_that_git_ignores_do_not(small: Path) -> None:
    before, test = Files(small), small / MODEL
    (small / "ignored").write_text("")
    (small / "results/pretrain").mkdir(parents=True)
    (small / "results/pretrain/0.dvc").write_text("")
    assert before.digest(test) == Files(small).digest(test)
    (small / os.fsdecode(b"src/new \xff.py")).write_text("")
    assert before.digest(test) != Files(small).digest(test)
    (small / "tests/model/test_ignored.py").write_text("")
    (small / ".gitignore").write_text("test_ignored.py\n")
    assert Files(small).digest(small / "tests/model/test_ignored.py") is None


@pytest.mark.parametrize("name", ["VARIORUM_DEVICE", "PATH", "VARIORUM_TESTS_OTHER", "OTHER"])
def test_the_variables_that_are_read_count(
    small: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = Files(small).digest(small / MODEL)
    monkeypatch.setenv(name, f"{os.environ.get(name, '')}:other")
    differs = Files(small).digest(small / MODEL) != before
    assert differs == (name in ("VARIORUM_DEVICE", "PATH"))


def test_a_file_beside_the_project_counts(small: Path, tmp_path: Path) -> None:
    beside = small / "ignored text"
    before = Files(small, [beside]).digest(small / MODEL)
    beside.write_text("text")
    assert Files(small, [beside]).digest(small / MODEL) != before


@pytest.mark.parametrize("fault", ["no git", "in an ignored folder", "a repository within"])
def test_where_git_does_not_list_all_files_every_test_runs(small: Path, fault: str) -> None:
    root = small
    if fault == "no git":
        (small / ".git").rename(small / "ignored")
    elif fault == "in an ignored folder":
        root = small / "ignored project"
        (root / "tests").mkdir(parents=True)
    else:
        subprocess.run(["git", "init", "--quiet", "src/inner"], cwd=small, check=True)
        (small / "src/inner/file").write_text("")
    with pytest.raises(UnknownFilesError):
        Files(root)
    (root / "tests/conftest.py").write_text(CONFTEST)
    (root / "tests/test_whole.py").write_text(PASSES)
    code, said = run(root, "--skip-passed", "tests/test_whole.py")
    assert code == 0
    assert "all tests run: " in said
    assert "2 passed" in said


# What is kept


def test_a_pass_counts_for_a_day(small: Path) -> None:
    first, second = f"{MODEL}::test_passes", f"{MODEL}::test_passes_too"
    keeper(small).keep({first: GOOD}, is_whole=True)
    keeper(small, hours=1).keep({second: GOOD}, is_whole=True)
    assert keeper(small, hours=2).passed() == {first, second}
    assert keeper(small, hours=HOURS + 0.5).passed() == {second}
    assert keeper(small, hours=HOURS + 1.5).passed() == set()


@pytest.mark.parametrize("part", ["setup", "call", "teardown"])
def test_a_failure_forgets_all_that_passed_in_its_file(small: Path, part: str) -> None:
    first, other = f"{MODEL}::test_passes", f"{REPORT}::test_of_the_report"
    keeper(small).keep({first: GOOD, other: GOOD}, is_whole=True)
    bad = {f"{MODEL}::test_passes_too": GOOD | {part: "failed"}}
    keeper(small).keep(bad, is_whole=False)
    assert keeper(small).passed() == {other}


def test_what_was_not_seen_to_its_end_is_not_kept(small: Path) -> None:
    test = f"{MODEL}::test_passes"
    keeper(small).keep({test: GOOD}, is_whole=False)
    keeper(small).keep({test: {"setup": "passed", "call": "passed"}}, is_whole=True)
    keeper(small).keep({test: GOOD | {"call": "skipped"}}, is_whole=True)
    assert keeper(small).passed() == set()


@pytest.mark.parametrize("how", ["edit and undo", "add", "remove"])
def test_nothing_is_kept_where_a_file_was_edited_meanwhile(small: Path, how: str) -> None:
    early, file = keeper(small), small / "src/code.py"
    if how == "edit and undo":
        file.write_text("edited")
        file.write_text("")
    elif how == "add":
        (small / "src/new.py").write_text("")
    else:
        file.unlink()
    early.keep({f"{MODEL}::test_passes": GOOD}, is_whole=True)
    assert early.edited
    assert not (small / ".cache/passed").exists()


def test_an_entry_that_was_cut_off_is_none(small: Path) -> None:
    keeper(small).keep({f"{MODEL}::test_passes": GOOD}, is_whole=True)
    (entry,) = (small / ".cache/passed").iterdir()
    entry.write_text(entry.read_text()[:-1])
    assert keeper(small).passed() == set()
