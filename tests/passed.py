"""Notes which tests passed, so that `make test` leaves them out while nothing has changed.

`pytest --skip-passed` leaves out what passed within a day. What a test file depends on: all files
that git lists but the tests of other folders; directly in `tests/`, all files. And the libraries,
Python and the variables of the environment that commands and tests read. Of the machine's other
programs, as git and the browser, only their folders count. Where a file's tests fail, none of them
is left out. In CI all tests run.
"""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

HOURS = 24
"""So long a pass counts: random examples are drawn anew each day."""

VARIABLES = ("PATH", "PYENV_VERSION", "CXX", "TZ", "LANG", "LC_ALL", "KILL_SEED")
PREFIX, OF_TESTS = "VARIORUM_", "VARIORUM_TESTS_"


class UnknownFilesError(Exception):
    """It cannot be known what tests depend on."""


class Files:
    """What tests depended on when this was made: files, by their paths, and surroundings.

    Raises `UnknownFilesError` where git does not say what belongs to the project.
    """

    def __init__(self, root: Path, besides: Iterable[Path] = ()) -> None:
        self.root, self.tests = root, root / "tests"
        self.listed = deciding(root)
        try:
            digests = {file: digest_of_file(file, root) for file in self.listed}
            beside = [_state(file) for file in besides]
        except OSError as error:
            raise UnknownFilesError(f"{error.filename} cannot be read") from error
        self._surroundings = json.dumps([surroundings(), beside])
        common, folders = [], defaultdict[Path, list[str]](list)
        for file, digest in digests.items():
            is_of_folder = file.name.startswith("test_") and self.tests in file.parent.parents
            (folders[file.parent] if is_of_folder else common).append(digest)
        self._all = _joined(digests.values())
        self._folders = {folder: _joined([*common, *own]) for folder, own in folders.items()}

    def digest(self, file: Path) -> str | None:
        """Return a hash of all that a test file depends on; None of one that git does not list."""
        if file not in self.listed:
            return None
        files = self._all if file.parent == self.tests else self._folders[file.parent]
        return _joined([self._surroundings, files])

    def changed_since(self, when: float) -> str:
        """Name a file that was written, added or removed since then; empty: none was."""
        try:
            now = deciding(self.root)
            written = [file for file in now if file.lstat().st_ctime > when]
        except (OSError, UnknownFilesError) as error:
            return str(error)
        found = [*written, *set(now).symmetric_difference(self.listed)]
        return str(found[0]) if found else ""


def listed(root: Path) -> list[Path]:
    """Return all files that git has, or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnknownFilesError("git lists no files here") from error
    files = sorted({root / os.fsdecode(name) for name in done.stdout.split(b"\0") if name})
    if not files or not (root / ".git").exists():
        raise UnknownFilesError("this is not a git checkout")
    return [file for file in files if file.is_symlink() or file.exists()]


def deciding(root: Path) -> list[Path]:
    """Return the files that tests may depend on: on no result that the project has."""
    results = root / "results"
    return [f for f in listed(root) if f.suffix != ".dvc" or not f.is_relative_to(results)]


def digest_of_file(file: Path, root: Path) -> str:
    """Hash a file's path, mode, and bytes or target."""
    if file.is_dir() and not file.is_symlink():
        raise UnknownFilesError(f"{file} is another repository")
    content = os.fsencode(file.readlink()) if file.is_symlink() else b""
    if file.is_file():
        content += file.read_bytes()
    name = os.fsencode(file.relative_to(root))
    return sha256(b"%b\0%o\0%b" % (name, file.lstat().st_mode, content)).hexdigest()


def surroundings() -> dict[str, Any]:
    """Return what is installed, and the variables that commands and tests read."""
    own = (n for n in os.environ if n.startswith(PREFIX) and not n.startswith(OF_TESTS))
    return {
        "python": [sys.version, sys.executable, sys.platform],
        "libraries": sorted(p.name for p in Path(sysconfig.get_path("purelib")).glob("*-info")),
        "variables": {name: os.environ.get(name) for name in sorted([*VARIABLES, *own])},
    }


def _state(file: Path) -> list[int] | None:
    return [file.stat().st_size, file.stat().st_mtime_ns] if file.exists() else None


def _joined(digests: Iterable[str]) -> str:
    return sha256("\n".join(digests).encode()).hexdigest()


class KeepPassed:
    """A plugin of pytest for the process that hands out tests: notes what passed, by file.

    leave_out: whether what passed before is left out. `folder` holds an entry for each test file.
    """

    def __init__(
        self, root: Path, folder: Path, *, leave_out: bool, besides: Iterable[Path] = ()
    ) -> None:
        self.root, self.folder, self.started = root, folder, time.time()
        self.files = Files(root, besides)
        self.leave_out, self.edited = leave_out, ""
        self.left_out = LeaveOut(self.passed() if leave_out else ())
        self._reports: dict[str, dict[str, str]] = defaultdict(dict)

    def passed(self) -> set[str]:
        """Return the tests that passed within a day, as all is now."""
        found: set[str] = set()
        for path in self.folder.glob("*.json"):
            try:
                entry = json.loads(path.read_text("utf-8"))
                if entry["digest"] == self.files.digest(self.root / entry["file"]):
                    found |= self._fresh(entry["tests"])
            except (OSError, ValueError, KeyError):  # cut off, or removed meanwhile
                continue
        return found

    def _fresh(self, tests: Mapping[str, float]) -> set[str]:
        return {test for test, when in tests.items() if when > self.started - HOURS * 3600}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a process of tests what to leave out: all must leave out the same."""
        node.workerinput["passed"] = sorted(self.left_out.tests)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Learn from a process of tests how many it left out."""
        count = getattr(node, "workeroutput", {}).get("left_out", 0)
        self.left_out.count = max(self.left_out.count, count)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a part of a test ended."""
        self._reports[report.nodeid][report.when or ""] = report.outcome

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep what passed; that nothing was left to run is no failure."""
        is_whole = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        self.keep(self._reports, is_whole=is_whole)
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.left_out.count:
            session.exitstatus = pytest.ExitCode.OK

    def keep(self, reports: Mapping[str, Mapping[str, str]], *, is_whole: bool) -> None:
        """Write an entry for each file whose tests passed, and remove it where one failed.

        reports: by test, how its set-up, call and end came out. Nothing is added where a file of
        the project was edited meanwhile, or the run was interrupted.
        """
        by_file: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
        for test, parts in reports.items():
            by_file[test.partition("::")[0]][test] = parts
        self.edited = self.files.changed_since(self.started)
        adds = is_whole and not self.edited
        for file, tests in by_file.items():
            entry = self.folder / f"{sha256(file.encode()).hexdigest()[:20]}.json"
            digest = self.files.digest(self.root / file)
            if any("failed" in parts.values() for parts in tests.values()):
                entry.unlink(missing_ok=True)
            elif adds and digest:
                self._write(entry, file, digest, [t for t, p in tests.items() if _passed(p)])

    def _write(self, entry: Path, file: str, digest: str, tests: Iterable[str]) -> None:
        before: dict[str, float] = {}
        try:
            old = json.loads(entry.read_text("utf-8"))
            before = old["tests"] if old["digest"] == digest else {}
        except (OSError, ValueError, KeyError):
            pass
        kept = {test: before[test] for test in self._fresh(before)}
        data = {"file": file, "digest": digest, "tests": kept | dict.fromkeys(tests, self.started)}
        self.folder.mkdir(parents=True, exist_ok=True)
        new = entry.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(data, indent=0), encoding="utf-8")
        new.replace(entry)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many were left out, and how to run them."""
        if self.left_out.count:
            terminalreporter.write_line(
                f"left out: {self.left_out.count} tests that passed within {HOURS} hours, since "
                "when nothing has changed; `make test ALL=yes` runs them too"
            )
        if self.leave_out and self.edited:
            terminalreporter.write_line(f"no pass is noted: {self.edited} was edited meanwhile")


class LeaveOut:
    """A plugin of pytest for a process that runs tests: leaves out these."""

    def __init__(self, tests: Iterable[str]) -> None:
        self.tests, self.count = frozenset(tests), 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave them out."""
        out = [item for item in items if item.nodeid in self.tests]
        items[:] = [item for item in items if item.nodeid not in self.tests]
        self.count = len(out)
        config.hook.pytest_deselected(items=out)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell the process that handed out the tests."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["left_out"] = self.count


def _passed(parts: Mapping[str, str]) -> bool:
    return parts == {"setup": "passed", "call": "passed", "teardown": "passed"}


def register(config: pytest.Config, root: Path, folder: Path, besides: Iterable[Path] = ()) -> None:
    """Make pytest note what passed, and leave it out where `--skip-passed` is given."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(LeaveOut(config.workerinput.get("passed", ())))
        return
    leave_out = config.getoption("skip_passed") and not os.environ.get("CI")
    try:
        keep = KeepPassed(root, folder, leave_out=leave_out, besides=besides)
    except UnknownFilesError as error:
        if leave_out:
            print(f"all tests run: {error}", file=sys.stderr)
        return
    config.pluginmanager.register(keep)
    config.pluginmanager.register(keep.left_out)
