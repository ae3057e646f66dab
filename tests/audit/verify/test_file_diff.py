"""Two makings of one result: what is said of files that differ, and that none is missed."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from variorum.audit.verify.file_diff import MOST_DETAILS, compare, differences, first_byte, relative


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two empty folders."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    return tmp_path / "old", tmp_path / "new"


def said(folders: tuple[Path, Path], name: str, *contents: bytes | str) -> list[str]:
    """What is said of two contents of one file."""
    for folder, content in zip(folders, contents, strict=True):
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
    return list(differences(folders[0] / name, folders[1] / name))


def tensors(
    folders: tuple[Path, Path], old: dict[str, Tensor], new: dict[str, Tensor]
) -> list[str]:
    """What is said of two files of tensors."""
    for folder, content in zip(folders, (old, new), strict=True):
        save_file(content, folder / "model.safetensors")
    return list(differences(folders[0] / "model.safetensors", folders[1] / "model.safetensors"))


# Folders


def test_the_same_files_are_identical(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        (folder / "inner").mkdir()
        (folder / "inner/a.txt").write_text("text")
        (folder / "b.bin").write_bytes(bytes(range(256)))
    found = compare(*folders)
    assert found.is_identical
    assert found.identical == 2


def test_what_may_vary_is_not_compared(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        (folder / "bundle/evaluate/0").mkdir(parents=True)
        for name in ("run.json", "code.json", ".manifest.json", "bundle/evaluate/0/run.json"):
            (folder / name).write_text(folder.name)
    (folders[0] / "manifest.json").write_text("the stored one has a manifest")
    assert compare(*folders).is_identical
    for folder in folders:
        (folder / "bundle/evaluate/0/manifest.json").write_text(folder.name)
    assert [each.name for each in compare(*folders).differing] == [
        "bundle/evaluate/0/manifest.json"
    ]


def test_files_that_only_one_has_are_named(folders: tuple[Path, Path]) -> None:
    (folders[0] / "gone.txt").write_text("a")
    (folders[1] / "new.txt").write_text("a")
    found = compare(*folders)
    assert (found.missing, found.extra) == (("gone.txt",), ("new.txt",))
    assert not found.is_identical


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_the_first_byte_is_where_the_slow_way_finds_it(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for name, content in (("old", old), ("new", new)):
        (folder / name).write_bytes(content)
    expected = next(
        (i for i in range(max(len(old), len(new))) if old[i : i + 1] != new[i : i + 1]), None
    )
    assert first_byte(folder / "old", folder / "new") == expected


def test_the_first_byte_is_found_beyond_a_block(folders: tuple[Path, Path]) -> None:
    content = bytearray(3 << 20)
    (folders[0] / "a").write_bytes(content)
    content[(2 << 20) + 5] = 1
    (folders[1] / "a").write_bytes(content)
    assert first_byte(folders[0] / "a", folders[1] / "a") == (2 << 20) + 5


# Bytes and texts


def test_of_any_other_file_the_first_byte_is_said(folders: tuple[Path, Path]) -> None:
    assert said(folders, "train.bin", b"\0\1\2\3", b"\0\1\xff\4") == ["byte 2: 0x02 → 0xff"]


def test_a_shorter_file_is_said_with_its_size(folders: tuple[Path, Path]) -> None:
    assert said(folders, "train.bin", b"\0\1\2\3", b"\0\1") == ["4 → 2 bytes"]


@pytest.mark.parametrize("name", ["curves.svg", "report.html", "table.md"])
def test_of_a_text_the_first_line_is_said(folders: tuple[Path, Path], name: str) -> None:
    found = said(folders, name, "<a>\n<b x='1'>\n<c>\n", "<a>\n<b x='2'>\n<d>\n")
    assert found == ["""line 2: "<b x='1'>" → "<b x='2'>\""""]


def test_of_a_long_line_only_what_stands_around_the_difference_is_said(
    folders: tuple[Path, Path],
) -> None:
    (line,) = said(folders, "a.svg", "x" * 500 + "old" + "y" * 500, "x" * 500 + "new" + "y" * 500)
    assert line.startswith("line 1: …'" + "x" * 20 + "old" + "y")
    assert "→ …'" + "x" * 20 + "new" + "y" in line
    assert len(line) < 120


def test_lines_that_are_added_are_said(folders: tuple[Path, Path]) -> None:
    found = said(folders, "a.md", "one\n", "one\ntwo\n")
    assert found == ["line 2: nothing → 'two'", "1 → 2 lines"]


def test_other_line_ends_are_the_same_content_written_differently(
    folders: tuple[Path, Path],
) -> None:
    found = said(folders, "a.md", "one\n", "one\r\n")
    assert found == ["the same content, written differently, from byte 3"]


# JSON


def test_of_json_every_value_is_said_with_its_place(folders: tuple[Path, Path]) -> None:
    old = {"loss": 2.0, "cases": [{"name": "a", "passed": True}], "gone": 1, "steps": 3}
    new = {"loss": 2.5, "cases": [{"name": "b", "passed": False}], "came": 1, "steps": 3}
    assert said(folders, "metrics.json", json.dumps(old), json.dumps(new)) == [
        "gone is gone",
        "came is new",
        "cases[0].name: 'a' → 'b'",
        "cases[0].passed: true → false",
        "loss: 2.0 → 2.5 (by 0.5, relative 0.2)",
    ]


def test_json_in_another_order_is_the_same_content(folders: tuple[Path, Path]) -> None:
    found = said(folders, "a.json", '{"a": 1, "b": [2, NaN]}', '{"b": [2, NaN], "a": 1}')
    assert found == ["the same content, written differently, from byte 2"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[1, 2]", "[1]", "the list: 2 → 1 entries"),
        ("NaN", "1.0", "the value: NaN → 1.0"),
        ("1", "1.0", "the value: 1 → 1.0"),
        ("1", "true", "the value: 1 → true"),
        ("null", "{}", "the value: null → {}"),
        ('{"a": {}}', '{"a": []}', "a: {} → []"),
    ],
)
def test_values_of_another_kind_are_said(
    folders: tuple[Path, Path], old: str, new: str, line: str
) -> None:
    assert said(folders, "a.json", old, new) == [line]


def test_no_more_than_a_few_differences_are_listed_and_the_rest_counted(
    folders: tuple[Path, Path],
) -> None:
    found = said(folders, "a.json", json.dumps([0] * 1234), json.dumps([1] * 1234))
    assert len(found) == MOST_DETAILS + 1
    assert found[-1] == f"and {1234 - MOST_DETAILS:,} more"


def test_of_json_lines_the_line_is_said(folders: tuple[Path, Path]) -> None:
    old, new = (
        '{"step": 0}\n{"step": 10, "text": "sun"}\n',
        '{"step": 0}\n{"step": 10, "text": "sum"}\n',
    )
    assert said(folders, "samples.jsonl", old, new) == ["line 2.text: 'sun' → 'sum'"]
    assert said(folders, "samples.jsonl", old, old + '{"step": 20}\n') == ["2 → 3 lines"]


def test_what_is_no_json_is_compared_byte_by_byte(folders: tuple[Path, Path]) -> None:
    assert said(folders, "a.json", '{"a": 1}', '{"a": 1') == ["8 → 7 bytes"]
    assert said(folders, "a.json", b"\xff\xfe", b"\xff\xfd") == ["byte 1: 0xfe → 0xfd"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_json_is_called_the_same_exactly_if_python_finds_the_values_the_same(
    tmp_path_factory: pytest.TempPathFactory, old: Any, new: Any
) -> None:
    folder = tmp_path_factory.mktemp("json")
    (folder / "old.json").write_text(json.dumps(old))
    (folder / "new.json").write_text(json.dumps(new, indent=1) + "\n")
    found = differences(folder / "old.json", folder / "new.json")
    assert found[0].startswith("the same content") == (spelled(old) == spelled(new))


def spelled(value: Any) -> str:
    """One spelling for values that are the same."""
    if isinstance(value, dict):
        return (
            "".join(f"{name!r}: {spelled(inner)}\n" for name, inner in sorted(value.items())) + "}"
        )
    if isinstance(value, list):
        return "".join(f"{spelled(inner)}\n" for inner in value) + "]"
    return repr(value)


# Tables


def test_of_a_table_column_row_and_number_are_said(folders: tuple[Path, Path]) -> None:
    old = "step,loss,name\n0,4.0,a\n10,2.0,b\n20,1.0,c\n"
    new = "step,loss,name\n0,4.0,a\n10,2.5,b\n20,1.5,d\n"
    assert said(folders, "metrics.csv", old, new) == [
        "column loss: row 2: '2.0' → '2.5', and 1 more row; largest difference 0.5, relative 0.333",
        "column name: row 3: 'c' → 'd'",
    ]


def test_columns_and_rows_that_come_and_go_are_said(folders: tuple[Path, Path]) -> None:
    assert said(folders, "a.csv", "a,b\n1,2\n", "a,c\n1,2\n3,4\n") == [
        "1 → 2 rows",
        "column b is gone",
        "column c is new",
    ]


def test_cells_that_are_empty_or_not_a_number_are_said(folders: tuple[Path, Path]) -> None:
    found = said(folders, "a.csv", "a,b\n,nan\n1,2\n", "a,b\n0.5,1\n1.0,2\n")
    assert found == ["column a: row 1: '' → '0.5'", "column b: row 1: 'nan' → '1'"]


def test_numbers_that_are_only_written_differently_are_the_same(folders: tuple[Path, Path]) -> None:
    assert said(folders, "a.csv", "a\n1\n20\n", "a\n1.0\n2e1\n") == [
        "the same content, written differently, from byte 3"
    ]
    huge = str(10**400)
    found = said(folders, "a.csv", f"a\n1\n2\n{huge}\n", f"a\n1.0\n4\n{huge}0\n")
    assert found[0].startswith("column a: row 2: '2' → '4', and 1 more row; largest difference 2")


def test_a_number_that_no_float_holds_is_infinitely_far_from_others(
    folders: tuple[Path, Path],
) -> None:
    huge = 10**400
    assert relative(huge, 1) == relative(1, huge) == math.inf
    assert relative(huge, huge) == 0
    (line,) = said(folders, "a.json", '{"a": 1}', f'{{"a": {huge}}}')
    assert line.startswith("a: 1 → 1000")


def test_a_ragged_table_is_compared_byte_by_byte(folders: tuple[Path, Path]) -> None:
    assert said(folders, "a.csv", "a,b\n1\n", "a,b\n2\n") == ["byte 4: 0x31 → 0x32"]


# Tensors


def test_of_a_tensor_elements_and_sizes_are_said(folders: tuple[Path, Path]) -> None:
    old = {"w": torch.tensor([[1.0, 2.0], [4.0, 8.0]]), "b": torch.ones(3)}
    new = {"w": torch.tensor([[1.0, 2.5], [4.0, 10.0]]), "b": torch.ones(3)}
    assert tensors(folders, old, new) == [
        "tensor w: 2 of 4 elements differ, by up to 2, relative 0.2"
    ]


def test_tensors_that_come_and_go_are_said(folders: tuple[Path, Path]) -> None:
    old = {"a": torch.ones(1), "b": torch.ones(1)}
    new = {"b": torch.ones(1), "c": torch.ones(1)}
    assert tensors(folders, old, new) == [
        "tensor a is gone",
        "tensor c is new",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (torch.ones(2, 3), torch.ones(3, 2), "shape (2, 3) → (3, 2)"),
        (torch.ones(2), torch.ones(2).bfloat16(), "float32 → bfloat16"),
        (
            torch.tensor([1.0, 3.0]),
            torch.tensor([1.0, 2.0], dtype=torch.float64),
            "float32 → float64, 1 of 2 elements differ, by up to 1, relative 0.333",
        ),
        (torch.ones(2), torch.ones(3).bfloat16(), "float32 → bfloat16, shape (2,) → (3,)"),
        (
            torch.tensor([math.nan, 1.0, math.inf]),
            torch.tensor([math.nan, math.nan, 2.0]),
            "2 of 3 elements differ, 2 of them not finite",
        ),
        (
            torch.tensor([2**62, 5]),
            torch.tensor([2**62 + 1, 5]),
            "1 of 2 elements differ, by up to 1, relative 2.17e-19",
        ),
        (
            torch.tensor([True]),
            torch.tensor([False]),
            "1 of 1 element differs, by up to 1, relative 1",
        ),
    ],
)
def test_other_shapes_kinds_and_what_is_not_finite_are_said(
    folders: tuple[Path, Path], old: Tensor, new: Tensor, line: str
) -> None:
    assert tensors(folders, {"w": old}, {"w": new}) == [f"tensor w: {line}"]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_zeros_of_another_sign_are_told_in_words(
    folders: tuple[Path, Path], kind: torch.dtype
) -> None:
    zeros = [torch.tensor([[zero, 1.0, -2.0, 0.0]], dtype=kind) for zero in (0.0, -0.0)]
    scalars = [torch.tensor(zero, dtype=kind) for zero in (0.0, -0.0)]
    both = [{"s": s, "w": w} for s, w in zip(scalars, zeros, strict=True)]
    assert tensors(folders, *both) == [
        "tensor s: 1 of 1 element differs, only in the sign of zero",
        "tensor w: 1 of 4 elements differ, only in the sign of zero",
    ]
    zeros[1][0, 1] = 2.0
    assert tensors(folders, {"w": zeros[0]}, {"w": zeros[1]}) == [
        "tensor w: 2 of 4 elements differ, by up to 1, relative 0.5"
    ]


def test_another_nan_is_told(folders: tuple[Path, Path]) -> None:
    old = torch.tensor([0x7FC00000, 0x3F800000], dtype=torch.int32).view(torch.float32)
    new = torch.tensor([0x7FC00001, 0x3F800000], dtype=torch.int32).view(torch.float32)
    assert tensors(folders, {"w": old}, {"w": new}) == [
        "tensor w: 1 of 2 elements differ, 1 of them not finite"
    ]


def test_zeros_of_another_sign_are_told_in_json_and_tables(folders: tuple[Path, Path]) -> None:
    assert said(folders, "a.json", '{"a": 0.0, "b": 1}', '{"a": -0.0, "b": 1}') == ["a: 0.0 → -0.0"]
    assert said(folders, "a.jsonl", "[0.0]\n", "[-0.0]\n") == ["line 1[0]: 0.0 → -0.0"]
    assert said(folders, "a.csv", "a,b\n0.0,1\n", "a,b\n-0.0,1\n") == [
        "column a: row 1: '0.0' → '-0.0'"
    ]
    assert said(folders, "a.csv", "a\n0.0\n1.0\n", "a\n-0.0\n2.0\n") == [
        "column a: row 1: '0.0' → '-0.0', and 1 more row; largest difference 1, relative 0.5"
    ]


def test_whole_numbers_that_no_float_tells_apart_are_told_apart(
    folders: tuple[Path, Path],
) -> None:
    old, new = str(2**62), str(2**62 + 1)
    assert said(folders, "a.json", old, new) == [
        f"the value: {old} → {new} (by 1, relative 2.17e-19)"
    ]
    assert said(folders, "a.csv", f"a\n{old}\n", f"a\n{new}\n") == [
        f"column a: row 1: '{old}' → '{new}'; largest difference 1, relative 2.17e-19"
    ]
    assert relative(0, 0.0) == relative(0.0, -0.0) == 0


def test_notes_beside_the_tensors_are_compared_as_json(folders: tuple[Path, Path]) -> None:
    for folder, step in zip(folders, (10, 20), strict=True):
        notes = {"positions": json.dumps([{"step": step}])}
        save_file({"w": torch.ones(1)}, folder / "a.safetensors", notes)
    found = differences(*(folder / "a.safetensors" for folder in folders))
    assert found == ("positions[0].step: 10 → 20 (by 10, relative 0.5)",)


def test_a_cut_off_file_of_tensors_is_compared_byte_by_byte(folders: tuple[Path, Path]) -> None:
    save_file({"w": torch.ones(4)}, folders[0] / "a.safetensors")
    whole = (folders[0] / "a.safetensors").read_bytes()
    found = said(folders, "a.safetensors", whole, whole[:-3])
    assert found == [f"{len(whole)} → {len(whole) - 3} bytes"]


@given(st.floats(), st.floats())
def test_a_relative_difference_is_symmetric_and_zero_for_the_same_alone(a: float, b: float) -> None:
    assert relative(a, b) == relative(b, a) >= 0
    assert relative(a, a) == 0
    if a != b and not (math.isnan(a) and math.isnan(b)):
        assert relative(a, b) > 0
