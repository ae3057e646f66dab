"""Results are whole or absent, and what stands in their way is named."""

import json
import math
import multiprocessing
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.files import sha256_of
from variorum.identity.spec import Ref, Spec, canonical_json
from variorum.store.result import MANIFEST, StoreError, manifest_digest, sealed
from variorum.store.store import Store

SPEC = Spec("normalize", {"by": "group"}, {"documents": Ref("download", "0" * 12)}, "c0de")

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def publish(store: Store, spec: Spec = SPEC, content: str = "text\n") -> Ref:
    output = store.scratch(spec.ref) / "output"
    output.mkdir(parents=True)
    (output / "train.jsonl").write_text(content)
    store.publish(spec, output, {}, {"run.json": {"host": "here"}, "code.json": {}})
    return spec.ref


@given(plain)
def test_canonical_json_is_json_and_does_not_depend_on_order(data: object) -> None:
    text = canonical_json(data)
    assert json.loads(text) == data
    assert canonical_json(_reversed(data)) == text


def _reversed(data: object) -> object:
    if isinstance(data, dict):
        return {name: _reversed(value) for name, value in reversed(data.items())}
    return [_reversed(item) for item in data] if isinstance(data, list) else data


@pytest.mark.parametrize(
    "foreign", [math.nan, math.inf, {1: 2}, (1,), {"a": {3}}, b"", print, Path()]
)
def test_what_json_cannot_hold_has_no_canonical_form(foreign: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_json(foreign)


def test_one_and_one_point_zero_have_different_keys() -> None:
    one = Spec("encode", {"x": 1}, {}, "")
    other = Spec("encode", {"x": 1.0}, {}, "")
    assert one.ref != other.ref


def test_the_key_depends_on_settings_upstream_and_code_and_on_nothing_else() -> None:
    others = [
        Spec("encode", SPEC.settings, SPEC.upstream, SPEC.code),
        Spec(SPEC.stage, {"by": "position"}, SPEC.upstream, SPEC.code),
        Spec(SPEC.stage, SPEC.settings, {"documents": Ref("download", "1" * 12)}, SPEC.code),
        Spec(SPEC.stage, SPEC.settings, SPEC.upstream, "beef"),
    ]
    assert len({SPEC.ref.key, *(other.ref.key for other in others)}) == 5
    assert Spec.from_data(json.loads(canonical_json(SPEC.as_data()))).ref == SPEC.ref


def test_a_golden_key_stays() -> None:
    assert SPEC.ref == Ref("normalize", GOLDEN)


GOLDEN = "3a7b2ea4a339"


def test_what_is_published_can_be_opened_and_scratch_is_gone(store: Store) -> None:
    ref = publish(store)
    result = store.open(ref)
    assert result.file("train.jsonl").read_text() == "text\n"
    assert result.spec == SPEC
    told = {"host": "here", "manifest": sha256_of(result.folder / "manifest.json")}
    assert result.run == sealed(told, sha256_of(result.folder / "code.json"))
    assert set(result.manifest["files"]) == {"train.jsonl"}
    assert not store.scratch(ref).exists()


def test_the_manifest_does_not_depend_on_what_may_vary(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "elsewhere")
    first, second = store.open(publish(store)), other.open(publish(other))
    (second.folder / "run.json").write_text("{}")
    assert (first.folder / MANIFEST).read_bytes() == (second.folder / MANIFEST).read_bytes()


def test_an_existing_key_is_never_published_again(store: Store) -> None:
    ref = publish(store)
    before = (store.folder(ref) / MANIFEST).stat().st_mtime_ns
    publish(store, content="other\n")
    assert store.open(ref).file("train.jsonl").read_text() == "text\n"
    assert (store.folder(ref) / MANIFEST).stat().st_mtime_ns == before


def test_a_folder_without_a_manifest_is_absent_and_is_moved_aside_not_deleted(store: Store) -> None:
    folder = store.folder(SPEC.ref)
    folder.mkdir(parents=True)
    (folder / "precious").write_text("kept")
    assert not store.exists(SPEC.ref)
    publish(store)
    assert store.exists(SPEC.ref)
    assert [path.read_text() for path in store.root.glob("scratch/aside/*/*/precious")] == ["kept"]


def test_the_empty_folder_that_snakemake_makes_is_not_in_the_way(store: Store) -> None:
    store.folder(SPEC.ref).mkdir(parents=True)
    publish(store)
    assert store.exists(SPEC.ref)


def test_a_missing_result_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match=rf"results/{SPEC.ref}/manifest.json does not exist"):
        store.open(SPEC.ref)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "train.jsonl").write_text("t"),
            "has 1 byte, its manifest says 5",
        ),
        (lambda folder: (folder / "train.jsonl").unlink(), "train.jsonl is missing"),
        (lambda folder: (folder / MANIFEST).write_text('{"key": '), "is cut off"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), "not a manifest"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "not a manifest"),
    ],
)
def test_a_damaged_result_is_refused_with_its_file_and_a_remedy(
    store: Store, damage: object, message: str
) -> None:
    ref = publish(store)
    damage(store.folder(ref))  # type: ignore[operator]
    for reading in (store.open, store.exists):
        with pytest.raises(StoreError, match=message) as error:
            reading(ref)
        assert f"move results/{ref} away" in str(error.value)
        (store.root / f"results/{ref}.dvc").touch()
        with pytest.raises(StoreError, match=rf"dvc checkout --force results/{ref}\.dvc"):
            reading(ref)
        (store.root / f"results/{ref}.dvc").unlink()
        assert str(ref) in str(error.value)


def test_a_result_in_anothers_place_is_refused(store: Store) -> None:
    ref = publish(store)
    wrong = Ref(ref.stage, "f" * 12)
    shutil.copytree(store.folder(ref), store.folder(wrong))
    with pytest.raises(StoreError, match="belongs to another spec"):
        store.open(wrong)


def hold(root: Path, held: object, seconds: float) -> None:
    with Store(root).locked(SPEC.ref):
        held.set()  # type: ignore[attr-defined]
        time.sleep(seconds)


def test_the_second_process_waits_and_a_dead_ones_lock_is_no_lock(store: Store) -> None:
    forking = multiprocessing.get_context("spawn")
    held = forking.Event()
    holder = forking.Process(target=hold, args=(store.root, held, 60))
    holder.start()
    assert held.wait(30)
    waited = []

    def kill_the_holder() -> None:
        waited.append(True)
        holder.kill()

    with store.locked(SPEC.ref, kill_the_holder):
        assert waited
    holder.join()


def test_a_restored_result_is_the_same_and_complete(store: Store, tmp_path: Path) -> None:
    ref = publish(store)
    copy = tmp_path / "copy"
    shutil.copytree(store.folder(ref), copy)
    shutil.rmtree(store.folder(ref))
    store.restore(ref, {file.name: file for file in copy.iterdir()})
    assert store.open(ref).file("train.jsonl").read_text() == "text\n"


@given(st.dictionaries(st.text(), plain, max_size=3))
def test_a_manifest_is_noted_by_the_hash_of_its_file_unless_it_was_adopted(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, object]
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    digests = []
    for adopted in (None, {"from": "normalize/" + "0" * 12, "how": "proved"}):
        output = store.scratch(Ref("normalize", "output"))
        output.mkdir(parents=True)
        spec = Spec("normalize", settings, {}, "c0de")
        result = store.publish(spec, output, {}, {"run.json": {}, "code.json": {}}, adopted)
        digests.append((manifest_digest(result.manifest), sha256_of(result.folder / MANIFEST)))
        shutil.rmtree(result.folder)
    (made, of_made), (adopted_one, of_adopted) = digests
    assert made == of_made == adopted_one != of_adopted
