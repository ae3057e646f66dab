"""Locks between processes, and the lock files that are committed."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from variorum.base import locks
from variorum.base.errors import VariorumError
from variorum.plan import source_lock, step_times
from variorum.plan.step_times import StepTime

TEXTS = st.text(st.characters(codec="utf-8"), max_size=9)


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.tuples(st.text("ab-_1", min_size=1), st.text("01ef", min_size=12, max_size=12)).map(
            "/".join
        ),
        st.builds(StepTime, st.floats(1e-9, 1e9), TEXTS, TEXTS, TEXTS),
    )
)
def test_a_lock_is_read_as_it_was_written_and_is_sorted(known: dict[str, StepTime]) -> None:
    text = step_times.FILE.text(known)
    assert step_times.FILE.parse(text) == known
    assert step_times.FILE.text(dict(reversed(known.items()))) == text


ONE = source_lock.LockedSource("1" * 64, 1)
TWO = source_lock.LockedSource("2" * 64, 2)


def test_a_change_is_written_and_read_again(tmp_path: Path) -> None:
    with source_lock.FILE.changing(tmp_path) as known:
        known["http://b.org"] = TWO
        known["http://a.org"] = ONE
    assert source_lock.FILE.read(tmp_path) == {"http://a.org": ONE, "http://b.org": TWO}
    assert source_lock.FILE.lines(tmp_path) == {
        ("http://a.org",): "config/sources.lock:2",
        ("http://a.org", "sha256"): "config/sources.lock:3",
        ("http://a.org", "bytes"): "config/sources.lock:4",
        ("http://b.org",): "config/sources.lock:5",
        ("http://b.org", "sha256"): "config/sources.lock:6",
        ("http://b.org", "bytes"): "config/sources.lock:7",
    }


def test_after_an_error_nothing_is_written(tmp_path: Path) -> None:
    def stopped() -> None:
        with source_lock.FILE.changing(tmp_path) as known:
            known["http://a.org"] = ONE
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        stopped()
    assert not (tmp_path / source_lock.LOCK).exists()


def test_a_file_that_is_left_as_it_was_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / source_lock.LOCK
    file.parent.mkdir()
    file.write_text(f"# mine\n{source_lock.FILE.text({'http://a.org': ONE})}")
    before = file.stat()
    with source_lock.FILE.changing(tmp_path) as known:
        known["http://a.org"] = ONE
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert file.read_text().startswith("# mine")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('a:\n  sha256: "x"\n  bytes: 1\n', r":2: a.sha256: 'x'"),
        (f'a:\n  sha256: "{"0" * 64}"\n  bytes: -1\n', ":3: a.bytes: -1"),
        (f'\na:\n  sha256: "{"0" * 64}"\n', ":2: a: {'sha256': .*}"),
        ("a: 3\n", ":1: a: 3"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(tmp_path: Path, text: str, place: str) -> None:
    file = tmp_path / source_lock.LOCK
    file.parent.mkdir()
    file.write_text(text)
    message = (
        f"^{source_lock.LOCK}{place} should be a SHA-256 and a number of bytes; restore it with"
    )
    with pytest.raises(VariorumError, match=message):
        source_lock.FILE.read(tmp_path)


def _tell(path: Path, held: "multiprocessing.Queue[bool]") -> None:
    held.put(locks.is_held(path))


def test_who_holds_a_lock_is_seen_by_other_processes_alone_while_it_does(tmp_path: Path) -> None:
    path = tmp_path / "locks/a"
    assert not locks.is_held(path), "there is no file"
    forking = multiprocessing.get_context("fork")
    told: multiprocessing.Queue[bool] = forking.Queue()

    def seen_by_another() -> bool:
        process = forking.Process(target=_tell, args=(path, told))
        process.start()
        process.join(30)
        return told.get(timeout=30)

    with locks.exclusive(path):
        assert seen_by_another()
    assert not seen_by_another()


def test_several_share_a_presence_and_none_of_them_is_alone(tmp_path: Path) -> None:
    one = locks.Presence(tmp_path / "alive")
    assert one.is_alone()
    one.share()
    two = locks.Presence(tmp_path / "alive")
    assert not two.is_alone()
    assert locks.is_held(tmp_path / "alive")
    del one, two
    assert not locks.is_held(tmp_path / "alive")
