"""Other bytes of a key are another platform's only if a record or a pin of git names them."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flow
import made_up
from conftest import Project
from variorum.audit.available import available
from variorum.audit.verify import shared_bytes
from variorum.audit.verify.integrity import Findings, verify
from variorum.audit.verify.selection import Selection, select, with_upstream
from variorum.base.files import sha256_of
from variorum.base.progress import Progress
from variorum.identity.spec import Ref
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Plan
from variorum.run.publish import Page, publish
from variorum.stages.registry import TRACKED
from variorum.store.records import RECORDS, restore_run_info
from variorum.store.result import COPY, MANIFEST, readable_json
from variorum.store.sharing import share
from variorum.store.store import Store
from variorum.store.tracking import track

OURS, THEIRS = "AVX512", "DEFAULT"
TABLE = Path("reports/widths")
FORGED = "forged 1.9"


def ablation(root: Path) -> Plan:
    return plan_ablation(load_ablation(root, "widths"), root)


def run(root: Path, kernels: str) -> None:
    """Make all results of the experiment and of the ablation, as on this processor."""
    for plan in (flow.current(root), ablation(root)):
        made_up.make(root, plan, kernels=kernels)
    track(root, TRACKED)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose results and table are committed, and a clone that made them elsewhere."""
    home = tmp_path_factory.mktemp("witnesses")
    project = made_up.project(home / "here")
    (project.root / "config/ablations").mkdir()
    (project.root / "config/ablations/widths.yaml").write_text(made_up.ABLATION)
    run(project.root, OURS)
    made_up.share(project.root)
    publish(Store(project.root), ablation(project.root).last.ref, project.root / TABLE)
    made_up.commit(project)
    project.run("git", "clone", "--quiet", str(project.root), str(home / "there"))
    run(home / "there", THEIRS)
    return home


@pytest.fixture
def home(both: Path, tmp_path: Path) -> Path:
    """Copies of both, to change."""
    for name in ("here", "there"):
        shutil.copytree(both / name, tmp_path / name, symlinks=True)
    return tmp_path


@pytest.fixture
def here(home: Path) -> Path:
    return home / "here"


@pytest.fixture
def there(home: Path) -> Path:
    return home / "there"


def fetch(here: Path, there: Path, *, records: bool = True) -> None:
    """Have in DVC's cache what `dvc fetch` brings."""
    kept = {md5_in(pin) for pin in (there / RECORDS).glob("*.dvc")} if not records else set()
    for file in (here / ".dvc/cache/files/md5").glob("*/*"):
        target = there / file.relative_to(here)
        if file.parent.name + file.name not in kept and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def pulled(there: Path, ref: Ref) -> None:
    """Take what git's pin names in place of a result, as `dvc pull --force` does."""
    cache, folder = there / ".dvc/cache/files/md5", Store(there).folder(ref)
    md5 = md5_in(Store(there).pin(ref))
    for file in folder.rglob("*"):
        if file.is_file() and file.name not in ("run.json", "code.json"):
            file.unlink()
    for entry in json.loads((cache / md5[:2] / md5[2:]).read_bytes()):
        target = folder / entry["relpath"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cache / entry["md5"][:2] / entry["md5"][2:], target)


def md5_in(pin: Path) -> str:
    return pin.read_text().split("md5: ")[1].split()[0]


def forge(folder: Path, name: str, *, change: Callable[[Any], None] | None = None) -> None:
    """Write another content of a file, and manifests that say so."""
    (folder / name).write_text(FORGED)
    digest = {"sha256": sha256_of(folder / name), "bytes": len(FORGED)}
    for manifest in (folder / MANIFEST, folder / COPY):
        if manifest.exists():
            data = json.loads(manifest.read_text())
            data["files"][name] = digest
            if change:
                change(data)
            manifest.write_text(readable_json(data))


def checked(root: Path, *, pages: bool = True) -> Findings:
    """What `variorum verify --all` finds."""
    if pages:
        return verify(select(root, [], everything=True), Progress("verify"))
    store = Store(root)
    return verify(Selection(store, tuple(available(store))), Progress("verify"))


def named(found: Findings) -> set[str]:
    return {damage.place for damage in found.damage}


def table_page(root: Path) -> Page:
    names = [path.name for path in (root / TABLE).iterdir() if path.name not in ("costs.csv",)]
    return Page(ablation(root).last.ref, TABLE, tuple(sorted(names)))


def said(root: Path) -> str:
    """What `variorum share --all` prints."""
    store = Store(root)
    found = share(store, with_upstream(store, available(store)), TRACKED)
    return "\n".join(shared_bytes.lines(store, found, Progress("share")))


# Published files


UNREAD = ("recorded", "unknown")
"""Cases in which the listing that git's pin of the table names is not here."""


@pytest.fixture(params=["alone", "known", "recorded", "unknown"])
def clone(request: pytest.FixtureRequest, here: Path, there: Path) -> tuple[Path, str]:
    """One platform; another with all that git names, with records alone, with neither."""
    case = str(request.param)
    if case == "known":
        fetch(here, there)
    elif case == "recorded":
        for record in (here / RECORDS).glob("*.json"):
            shutil.copy(record, there / RECORDS)
    return here if case == "alone" else there, case


def test_a_table_of_another_platform_is_known_by_its_witness(clone: tuple[Path, str]) -> None:
    root, case = clone
    assert table_page(root).is_published(Store(root))
    found = checked(root)
    assert not found.damage
    (note,) = [note for note in found.notes if str(TABLE) in note] or [""]
    if case == "alone":
        assert not note
    elif case == "unknown":
        assert "cannot be compared" in note
        assert "dvc fetch -R" in note
        assert "all as published" not in list(found.lines())[-1]
    else:
        assert "as another platform made it" in note
        assert found.pages > 0, "each file was compared with the manifest that a witness names"
        assert not any("platform" in each for each in found.uncompared)


@pytest.mark.parametrize("committed", [False, True], ids=["", "committed"])
@pytest.mark.parametrize("name", ["table.md", "metrics.json"])
def test_a_page_and_its_manifest_that_were_forged_together_are_named_and_put_right(
    clone: tuple[Path, str], name: str, committed: bool
) -> None:
    root, case = clone
    forge(root / TABLE, name)
    if committed:
        made_up.commit(Project(root))
    found, page = checked(root), table_page(root)
    if case in UNREAD:
        assert list(found.lines())[-1].endswith("1 page whose witness is not here")
        return
    assert f"{TABLE}/{name}" in named(found)
    assert not page.is_published(Store(root))
    writes_back = case == "known" and not committed
    assert publish(Store(root), page.ref, root / TABLE) is not writes_back
    assert (root / TABLE / name).read_text() != FORGED
    assert not checked(root).damage


@pytest.mark.parametrize("forged", [False, True])
def test_a_manifest_that_lists_nothing_vouches_for_nothing(
    clone: tuple[Path, str], forged: bool
) -> None:
    root, _ = clone
    path = root / TABLE / MANIFEST
    data = json.loads(path.read_text())
    data["files"] = {}
    path.write_text(readable_json(data))
    if forged:
        (root / TABLE / "table.md").write_text(FORGED)
    assert not table_page(root).is_published(Store(root))
    assert f"{TABLE}/{MANIFEST}" in named(checked(root))


def test_a_forged_table_is_named_where_its_result_is_not_but_its_pin_or_a_record_is(
    clone: tuple[Path, str],
) -> None:
    root, case = clone
    shutil.rmtree(Store(root).folder(ablation(root).last.ref))
    assert not checked(root).damage
    forge(root / TABLE, "table.md")
    found = checked(root)
    assert (f"{TABLE}/{MANIFEST}" in named(found)) is (case not in UNREAD)


def test_what_git_holds_in_part_is_not_written_back(here: Path, there: Path) -> None:
    fetch(here, there)
    (there / TABLE / "table.md").write_text(FORGED)
    made_up.commit(Project(there))
    assert publish(Store(there), ablation(there).last.ref, there / TABLE)
    assert (there / TABLE / "table.md").read_text() != FORGED


# Results


def one(root: Path, stage: str) -> Ref:
    return flow.current(root).of_stage(stage)[0].ref


@pytest.fixture
def mixed(here: Path, there: Path) -> Path:
    """The clone with one result pulled, and what was made from others."""
    fetch(here, there)
    pulled(there, one(there, "pretrain"))
    return there


def test_one_pulled_result_does_no_harm(mixed: Path) -> None:
    """DVC leaves the `run.json` of the bytes that it replaced."""
    ref = one(mixed, "pretrain")
    assert Store(mixed).peek(ref).run == {}, "it is of other bytes"
    for _ in range(2):
        found = checked(mixed, pages=False)
        assert not found.damage
        start = f"{one(mixed, 'finetune')} was made from other bytes of {ref}: "
        assert f"{start}PyTorch's kernels {THEIRS}, here {OURS}" in found.notes
        restore_run_info(Store(mixed))
        assert Store(mixed).peek(ref).run["cpu_capability"] == OURS


def test_one_pulled_result_without_a_record_does_no_harm(here: Path, there: Path) -> None:
    fetch(here, there, records=False)
    pulled(there, one(there, "pretrain"))
    found = checked(there, pages=False)
    assert not found.damage
    notes = [note for note in found.notes if "was made from other bytes of pretrain/" in note]
    assert notes
    assert all("dvc fetch -R results/records" in note for note in notes)
    last = list(found.lines())[-1]
    assert "all as published" not in last
    assert len(notes) > 1, "more than one result was made from the one input"
    assert last.endswith("not compared: 1 input of unknown origin")
    for record in (there / RECORDS).glob("*"):
        record.unlink()
    notes = [n for n in checked(there, pages=False).notes if "was made from other bytes" in n]
    assert notes
    assert not any("dvc fetch" in note for note in notes), "there is nothing to fetch"


def test_a_page_whose_result_has_a_pin_comes_back_by_it(here: Path) -> None:
    report, place = one(here, "report"), here / "reports/experiments/micro"
    publish(Store(here), report, place)
    shutil.rmtree(Store(here).folder(report))
    file = next(file for file in sorted(place.iterdir()) if file.name != MANIFEST)
    whole = file.read_bytes()
    file.write_bytes(whole + b"1")
    damage = checked(here).damage[0]
    assert damage.place == str(file.relative_to(here))
    command, _, told = damage.remedy.removeprefix("`").partition("`")
    assert told == " publishes it"
    Project(here).run("sh", "-c", command)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("name", ["content.txt", "metrics.json"])
def test_a_forged_result_is_damage_in_a_mixture_too(mixed: Path, name: str, restored: bool) -> None:
    if restored:
        restore_run_info(Store(mixed))
    ref = one(mixed, "pretrain")
    forge(Store(mixed).folder(ref), name)
    track(mixed, TRACKED)
    assert f"results/{ref}/{MANIFEST}" in named(checked(mixed, pages=False))


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "evaluate", "baselines"])
def test_a_forged_result_is_damage_on_each_platform(home: Path, stage: str) -> None:
    for root in (home / "here", home / "there"):
        ref = one(root, stage)
        forge(Store(root).folder(ref), "metrics.json")
        assert f"results/{ref}/{MANIFEST}" in named(checked(root, pages=False))


# Sharing


def test_no_verdict_without_a_record_and_the_hint_brings_both(here: Path, there: Path) -> None:
    ref = one(there, "pretrain")
    hint = f"dvc fetch -R results/{ref}.dvc {RECORDS}"
    assert f"{ref} stays here: git holds other bytes, which are not here (`{hint}`" in said(there)
    fetch(here, there, records=False)
    text = said(there)
    assert "within tolerance" not in text.replace("which are not here", "").lower()
    assert (
        f"not compared: no record here tells where they were made (`dvc fetch -R {RECORDS}`" in text
    )
    fetch(here, there)
    assert f"{OURS} → {THEIRS}" in said(there)
    assert ": within tolerance" in said(there)
    pull = "dvc pull --force -R results/STAGE/KEY.dvc results/records"
    assert pull in said(there)


def test_the_hints_are_commands_that_dvc_takes(here: Path, there: Path) -> None:
    clone, ref = Project(there), one(there, "pretrain")
    remote = str(here.parent / "remote")
    for project in (Project(here), clone):
        project.run("dvc", "remote", "modify", "--local", "local", "url", remote)
    Project(here).run("dvc", "push", "-R", "results")
    clone.run("dvc", "fetch", "-R", f"results/{ref}.dvc", RECORDS)
    assert ": within tolerance" in said(there)
    clone.run("dvc", "pull", "--force", "-R", f"results/{ref}.dvc", RECORDS)
    digest = hashlib.sha256((Store(there).folder(ref) / MANIFEST).read_bytes()).hexdigest()
    assert digest == sha256_of(Store(here).folder(ref) / MANIFEST)
    assert not checked(there).damage
