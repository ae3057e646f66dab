"""Fixtures that all tests share: where the project is, and copies of it to play with."""

import compileall
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import cached
import passed
from variorum.base.components import PACKAGE
from variorum.cli import command
from variorum.corpus.fetch_context import FetchContext
from variorum.identity.fingerprint import Fingerprint, fingerprint
from variorum.identity.package_code import Code
from variorum.plan import current_code, experiment

ROOT = Path(__file__).parents[1]
SHAKESPEARE = ROOT.parent / "shared/data/tinyshakespeare/input.txt"
SESSION = "VARIORUM_TESTS_SESSION"
"""The environment variable that names the folder of this process of the run of tests."""

LONGEST = (
    *("test_adopt_proofs.py", "test_code_ran.py", "test_learn.py", "test_code_keys.py"),
    *("test_kills.py", "test_other_code.py", "test_adoption.py", "test_additions.py"),
)
"""Files that take longest where nothing is cached, the longest first."""

MEMORY, ROOM = Path("/dev/shm"), 4e9
"""A folder in memory, where tests write if it has so many bytes: they sync many small files."""

IGNORES = (".dvcignore", ".gitignore", ".gitattributes")
FOLDERS = ("workflow", "profiles", "config", "src")
PARTS = (*FOLDERS, "Snakefile", "dvc.yaml", "requirements.lock", *IGNORES)


def has_room(folder: Path, n_bytes: float) -> bool:
    """Whether a folder in memory can take so many bytes, and programs in it may run."""
    if not folder.is_dir() or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    memory = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text("utf-8"))
    available = 1024 * int(memory[1]) if memory else 0
    return min(shutil.disk_usage(folder).free, available) > n_bytes


if "TMPDIR" not in os.environ and has_room(MEMORY, ROOM):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# Tests compute as stages do: one thread a process.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # Hugging Face's libraries ask no network

MICRO_DOMAIN = """  domain:
    source: {kind: files, path: texts/domain}
    split: {val_fraction: 0.2, test_fraction: 0.2, salt: pages}
"""
MICRO = f"""
title: A text of a few pages
corpus:
  base:
    source: {{kind: files, path: texts/base}}
    split: {{val_fraction: 0.2, test_fraction: 0.2, salt: pages}}
{MICRO_DOMAIN}tokenizer: {{kind: characters}}
model: {{n_layer: 1, n_head: 2, n_embd: 16, context_length: 16}}
pretrain:
  {{batch_size: 4, max_steps: 30, warmup_steps: 3, val_interval: 10, val_tokens: 512,
   sample_tokens: 8}}
finetune:
  {{batch_size: 4, max_steps: 10, warmup_steps: 1, val_interval: 5, val_tokens: 512,
   sample_tokens: 8}}
evaluate: {{memorization_tokens: 64}}
baselines: {{most_ngram_order: 3, ppmd_orders: [4]}}
dynamic: {{rates: [0.0, 0.1], pulls: [0.01], val_tokens: 64}}
stress:
  {{prompts: ["the "], sampling: {{max_tokens: 8}}, case_tokens: 32, texts: 4, text_tokens: 16,
   temperatures: [1.5]}}
"""


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own, whose package runs there."""

    root: Path

    def run(
        self,
        *command: str,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside it, with the commands of this environment on the path."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(
                f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def snakemake(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run Snakemake inside it."""
        return self.run("snakemake", "--cores", "2", *arguments, **options)  # type: ignore[arg-type]

    def share(self, *references: str) -> None:
        """Put the pins of results where git sees them: of all, unless some are named."""
        self.run("variorum", "share", *(references or ("--all",)))

    def forget(self, *stages: str) -> None:
        """Delete the results of stages, and the pins by which they would come back."""
        for stage in stages:
            for folder in ("results", "scratch/pins"):
                shutil.rmtree(self.root / folder / stage, ignore_errors=True)

    @staticmethod
    def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of commands: this interpreter's scripts first."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **(extra or {})}


@pytest.fixture(scope="session", autouse=True)
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the template of projects a place that is removed with other files of tests."""
    os.environ[SESSION] = str(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="session", autouse=True)
def read_installed_code_once() -> Iterator[None]:
    """Find each fingerprint of the installed package once for all plans: no test edits it."""
    installed = Code(PACKAGE)

    @cache
    def of_installed(function: str, parts: tuple[tuple[str, str], ...]) -> Fingerprint:
        return fingerprint(function, parts, installed)

    def once(
        function: str, parts: Iterable[tuple[str, str]] = (), package: Path | Code = PACKAGE
    ) -> Fingerprint:
        if (package.package if isinstance(package, Code) else package) == PACKAGE:
            return of_installed(function, tuple(parts))
        return fingerprint(function, parts, package)

    with pytest.MonkeyPatch.context() as patch:
        for module in (experiment, current_code):
            patch.setattr(module, "fingerprint", once)
        yield


@cache
def template() -> Path:
    """Lay out once what copies of the project begin with, a git repository without commits."""
    target = Path(os.environ[SESSION]) / "template"
    target.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            leftovers = shutil.ignore_patterns("*.egg-info")
            shutil.copytree(source, target / name, ignore=leftovers)
        else:
            shutil.copy(source, target / name)
    compileall.compile_dir(target / "src", quiet=2)  # once for all copies, which run their own code
    for ablation in (target / "config/ablations").iterdir():  # they would be planned every time
        if ablation.name != "positions.yaml":
            ablation.unlink()
    (target / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/config", target / ".dvc/config")
    shutil.copy(ROOT / ".dvc/.gitignore", target / ".dvc/.gitignore")
    project = Project(target)
    project.run("git", "init", "--quiet", "--template=", "--initial-branch", "main")
    project.run("git", "config", "user.name", "A Test")
    project.run("git", "config", "user.email", "test@example.org")
    return target


def measured(script: str, *words: object) -> str:
    """What a script prints that may import `peak_memory`; it runs in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def copy_project(target: Path) -> Project:
    """Copy everything but the tests and what runs leave, into a new git repository."""
    shutil.copytree(template(), target, dirs_exist_ok=True)
    return Project(target)


def add_micro_experiment(project: Project, *, domain: bool = True) -> None:
    """Add an experiment that runs in seconds, on texts that it brings along; make it current."""
    for side, words in (("base", "sun moon star sky"), ("domain", "tree leaf root bark")):
        folder = project.root / "texts" / side
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(24):
            pieces = [
                f"{word} {number * 7 + i} of the {words}"
                for i in range(12)
                for word in words.split()
            ]
            (folder / f"{number:02}.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    settings = MICRO if domain else MICRO.replace(MICRO_DOMAIN, "  domain: null\n")
    (project.root / "config/experiments/micro.yaml").write_text(settings, encoding="utf-8")
    (project.root / "config/config.yaml").write_text("experiment: micro\n", encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh copy of the project."""
    return copy_project(tmp_path / "project")


@pytest.fixture
def micro(project: Project) -> Project:
    """A fresh copy whose current experiment takes seconds."""
    add_micro_experiment(project)
    return project


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    """A copy of the package's source, to edit."""
    target = tmp_path / "src" / "variorum"
    shutil.copytree(ROOT / "src/variorum", target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture
def lines() -> list[str]:
    """What a fetch told."""
    return []


@pytest.fixture
def context(tmp_path: Path, lines: list[str]) -> FetchContext:
    """The surroundings of a fetch, without mirrors; what it tells goes to `lines`."""
    return FetchContext(tmp_path, tmp_path / "cache", (), lines.append)


def tiny_shakespeare() -> Path:
    """TinyShakespeare as one file beside the project, or a skip: it is no part of the project."""
    if not SHAKESPEARE.is_file():
        pytest.skip(
            "TinyShakespeare is not beside the project (as shared/data/tinyshakespeare/input.txt), "
            "so what is known of it was left out"
        )
    return SHAKESPEARE


def other_python(version: str) -> str:
    """Another Python that runs, or a skip: the project installs only the one that it runs by."""
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], check=False).returncode:
        pytest.skip(f"there is no python{version} on PATH, so it was not compared with this one")
    return python


Record = Callable[[str, object], None]
"""Pytest's `record_property`: what is counted is printed in a table when all tests are over."""


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def variorum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process."""

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["variorum", *arguments])
        code = 0
        try:
            command.main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return Said(code, printed.out, printed.err)

    return run


Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(package_copy: Path) -> Edit:
    """Replace a text that must be there, in a file of the package's copy."""

    def replace(file: str, old: str, new: str) -> None:
        path = package_copy / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} holds no {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    return replace


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test`."""
    text = "leave out tests that passed within a day, if nothing has changed since"
    parser.addoption("--skip-passed", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Look for no garbage while libraries and tests are imported, as there is hardly any."""
    gc.disable()
    passed.register(config, ROOT, ROOT / ".cache/passed", besides=[SHAKESPEARE])


def pytest_collection_finish() -> None:
    """Look for garbage from now on, not often, and never among what was imported."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remove what no run of tests has used for long from their cache."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        cached.prune()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: no process shall be left alone with one at the end."""
    places = {name: place for place, name in enumerate(LONGEST)}

    def turn(item: pytest.Item) -> tuple[int, int]:
        """Those that are named, in their order, then the others by size."""
        return places.get(item.path.name, len(places)), -item.path.stat().st_size

    items.sort(key=turn)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI nothing may be left out: a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("CI leaves nothing out: the tests skipped above must run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted (`record_property`): how many kills, sequences, edits."""
    counted = [
        (report.nodeid.split("::")[-1], name, value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in report.user_properties
    ]
    if counted:
        terminalreporter.section("what was counted")
        width = max(len(test) for test, _, _ in counted)
        for test, name, value in counted:
            terminalreporter.write_line(f"{test:<{width}}  {name:<44} {value}")
