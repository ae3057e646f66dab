"""Tables: every row that can be read is a document, and every other one is counted and shown."""

import csv as standard
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from variorum.config import CsvSource
from variorum.corpus.documents import Document
from variorum.corpus.fetching import FetchContext
from variorum.corpus.sources import csv
from variorum.errors import VariorumError

TABLE = 'title,body,kind\nOne,"First, of\nall",a\nTwo,Second,b\nThree,Third,a\n'


def context_of(root: Path) -> FetchContext:
    return FetchContext(root, root, (), lambda line: None)


def write(root: Path, data: str | bytes, name: str = "table.csv") -> Path:
    path = root / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def fetched(root: Path, context: FetchContext | None = None, **given: object) -> list[Document]:
    source = CsvSource(**{"path": "table.csv", "text": "body", **given})
    return list(csv.fetch(source, context or context_of(root)))


def texts(root: Path, **given: object) -> list[str]:
    return [document.text for document in fetched(root, **given)]


def steps(context: FetchContext) -> dict[str, tuple[int, int]]:
    """Rows in and rows dropped, by the step's name."""
    return {step.name: (step.documents_in, step.dropped) for step in context.facts.steps}


def test_a_row_is_a_document_named_after_its_file_and_number(tmp_path):
    write(tmp_path, TABLE)
    found = fetched(tmp_path)
    assert [d.text for d in found] == ["First, of\nall", "Second", "Third"]
    assert [(d.id, d.group) for d in found] == [(f"table.csv#{n}",) * 2 for n in (1, 2, 3)]


def test_a_template_is_filled_from_several_columns(tmp_path):
    write(tmp_path, TABLE)
    assert texts(tmp_path, text="{title}: {{{kind}}}\n\n{body}")[1] == "Two: {b}\n\nSecond"


def test_columns_give_group_and_id(tmp_path):
    write(tmp_path, TABLE)
    found = fetched(tmp_path, group="kind", id="title")
    assert [(d.id, d.group) for d in found] == [("One", "a"), ("Two", "b"), ("Three", "a")]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"column": "kind", "equals": "b"}, ["Second"]),
        ({"column": "title", "any_of": ["Two", "Three"]}, ["Second", "Third"]),
        ({"column": "body", "matches": r"^\w+$"}, ["Second", "Third"]),
    ],
)
def test_rows_can_be_chosen(tmp_path, condition, expected):
    write(tmp_path, TABLE)
    context = context_of(tmp_path)
    found = fetched(tmp_path, context, where=[condition])
    assert [document.text for document in found] == expected
    assert steps(context) == {"rows": (3, 0), "where": (3, 3 - len(expected))}


def test_all_conditions_must_be_met(tmp_path):
    write(tmp_path, TABLE)
    both = [{"column": "kind", "equals": "a"}, {"column": "title", "matches": "T"}]
    assert texts(tmp_path, where=both) == ["Third"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"column": "a"}, "give one of equals, any_of, matches for column 'a', not none"),
        ({"column": "a", "equals": "x", "matches": "y"}, "not equals and matches"),
        ({"column": "a", "matches": "("}, r"matches '\(' is no regular expression"),
    ],
)
def test_a_wrong_condition_is_refused(condition, message):
    with pytest.raises(ValueError, match=message):
        CsvSource(path="table.csv", text="body", where=[condition])


@pytest.mark.parametrize("text", ["{", "{}", "{a!r}", "{a:5}", "a}{"])
def test_a_wrong_template_is_refused(text):
    with pytest.raises(ValueError, match="is no template"):
        CsvSource(path="table.csv", text=text)


def test_rows_that_cannot_be_read_are_counted_and_shown_with_their_lines(tmp_path):
    rows = ["a,b", "1,2,3", 'x"y,"1"2', "5", "", "6,7", '8,"never', "closed"]
    write(tmp_path, "title,body\n" + "\n".join(rows))
    context = context_of(tmp_path)
    found = fetched(tmp_path, context)
    assert [d.text for d in found] == ["b", "7"]
    assert steps(context) == {"rows": (6, 4)}
    (step,) = context.facts.steps
    assert [(e.document, e.reason) for e in step.examples] == [
        ("table.csv, line 3", "3 columns where the header has 2"),
        ("table.csv, line 4", "',' expected after '\"'"),
        ("table.csv, line 5", "1 columns where the header has 2"),
    ]


def test_a_quote_that_is_never_closed_tells_how_far_it_goes(tmp_path):
    write(tmp_path, 'title,body\na,b\n8,"never\nclosed\nat all\n')
    context = context_of(tmp_path)
    fetched(tmp_path, context)
    (example,) = context.facts.steps[0].examples
    assert example.document == "table.csv, line 3"
    assert "unexpected end of data up to line 5" in example.reason


def test_an_id_that_stands_there_already_or_is_empty_is_a_bad_row(tmp_path):
    write(tmp_path, "title,body\na,1\na,2\n,3\nb,4\n")
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context, id="title")] == ["1", "4"]
    assert [e.reason for e in context.facts.steps[0].examples] == [
        "its title 'a' stands in an earlier row",
        "its title is empty",
    ]


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    write(tmp_path, TABLE)
    with pytest.raises(
        VariorumError, match=r"no column 'bdy' and no 'k'; with commas .*title, body"
    ):
        fetched(tmp_path, text="bdy", group="k")


def test_no_row_left_is_an_error_that_tells_why(tmp_path):
    write(tmp_path, "title,body\n1\n2\n")
    with pytest.raises(
        VariorumError, match=r"no row is left of the 2 .*2 rows that cannot be read"
    ):
        fetched(tmp_path)


# --- what a file does not say ---------------------------------------------------------------

ROWS = [["title", "body"], *([f"Nr. {n}", f"Größe, in; café {n} | ä, x"] for n in range(40))]


def table(delimiter: str) -> str:
    out = io.StringIO()
    standard.writer(out, delimiter=delimiter).writerows(ROWS)
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_delimiter_and_encoding_are_found_out_and_told(tmp_path, delimiter, encoding):
    write(tmp_path, table(delimiter).encode(encoding))
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context)] == [row[1] for row in ROWS[1:]]
    named = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
    (note,) = context.facts.notes
    assert note.startswith("1 file read as ")
    assert f"{named} between columns" in note
    assert ("a guess" in note) == (encoding == "cp1252")


def test_what_the_settings_say_is_not_guessed(tmp_path):
    write(tmp_path, "a;b,body\n1;2,Gr\xf6\xdfe\n".encode("latin-1"))
    assert texts(tmp_path, delimiter=",", encoding="latin-1") == ["Größe"]
    with pytest.raises(VariorumError, match=r"cannot be read as ascii .*set source\.encoding"):
        fetched(tmp_path, encoding="ascii")


def test_one_column_needs_no_delimiter(tmp_path):
    write(tmp_path, "body\none\ntwo\n")
    assert texts(tmp_path) == ["one", "two"]


def test_an_encoding_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="Python knows none that is called 'utf-9'"):
        CsvSource(path="table.csv", text="body", encoding="utf-9")


# --- JSON lines -----------------------------------------------------------------------------


def test_json_lines_are_rows(tmp_path):
    lines = [
        '{"body": "one", "n": 1e5, "more": [1]}',
        '{"body": null, "n": true}',
        "",
        '{"body": "two \\u00e4\\n", "n": 0.10}',
        "[1]",
        "{",
        '{"n": 1}',
        '{"body": {"x": 1}, "n": 1}',
    ]
    write(tmp_path, "\n".join(lines), "table.jsonl")
    context = context_of(tmp_path)
    found = fetched(tmp_path, context, path="table.jsonl", text="{n} {body}")
    assert [d.text for d in found] == ["1e5 one", "true ", "0.10 two ä\n"]
    assert steps(context) == {"rows": (7, 4)}
    assert [e.reason for e in context.facts.steps[0].examples] == [
        "no JSON object",
        "no JSON (Expecting property name enclosed in double quotes)",
        "no body",
    ]


# --- any table ------------------------------------------------------------------------------

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20), st.sampled_from(",;\t|"))
def test_what_was_written_as_a_table_is_read(tmp_path, rows, delimiter):
    out = io.StringIO()
    standard.writer(out, delimiter=delimiter, quoting=standard.QUOTE_ALL).writerows(
        [("title", "body"), *rows]
    )
    write(tmp_path, out.getvalue())
    assert texts(tmp_path, delimiter=delimiter, encoding="utf-8") == [body for _, body in rows]
    write(
        tmp_path,
        "\n".join(json.dumps({"title": title, "body": body}) for title, body in rows),
        "table.jsonl",
    )
    assert texts(tmp_path, path="table.jsonl") == [body for _, body in rows]


def test_several_files_are_read_in_the_order_of_their_names(tmp_path):
    (tmp_path / "rows").mkdir()
    write(tmp_path, "body\nthree\n", "rows/b.tsv")
    write(tmp_path, "body\none\ntwo\n", "rows/a.csv")
    write(tmp_path, '{"body": "four"}', "rows/c.jsonl")
    write(tmp_path, "no table", "rows/notes.txt")
    found = fetched(tmp_path, path="rows")
    assert [d.text for d in found] == ["one", "two", "three", "four"]
    assert len({d.id for d in found}) == 4


def test_another_checksum_is_refused(tmp_path):
    write(tmp_path, TABLE)
    with pytest.raises(VariorumError, match=rf"SHA-256 \w+, expected {'0' * 64}"):
        fetched(tmp_path, sha256="0" * 64)


LARGE = """
import resource, sys
from pathlib import Path
from variorum.config import CsvSource
from variorum.corpus.fetching import FetchContext
from variorum.corpus.sources import csv
root = Path(sys.argv[1])
source = CsvSource(path="table.csv", text="body", where=[{"column": "n", "matches": "00000$"}])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for _ in csv.fetch(source, FetchContext(root, root, (), lambda line: None)))
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_a_large_file_is_streamed(tmp_path):
    rows = 300_000
    with (tmp_path / "table.csv").open("w") as file:
        file.write("n,body\n")
        file.writelines(f"{n},{'words of a row ' * 8}\n" for n in range(rows))
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    count, grown = map(int, done.stdout.split())
    assert count == 2
    assert (tmp_path / "table.csv").stat().st_size > 35_000_000
    assert grown < 20_000_000
