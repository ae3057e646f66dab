"""Tables: every row that can be read is a document, and every other one is counted and shown."""

import csv as standard
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import measured
from variorum.base.errors import VariorumError
from variorum.corpus import decoding, table_rows
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.sources import csv
from variorum.corpus.sources.csv import CsvSource

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
    rows = ["a,b", "1,2,3", 'x"y,"1"2', "5", "", "6,7"]
    write(tmp_path, "title,body\n" + "\n".join(rows))
    context = context_of(tmp_path)
    found = fetched(tmp_path, context)
    assert [d.text for d in found] == ["b", "7"]
    assert steps(context) == {"rows": (5, 3)}
    (step,) = context.facts.steps
    assert [(e.document, e.excerpt, e.reason) for e in step.examples] == [
        ("table.csv, line 3", "1,2,3", "3 columns where the header has 2"),
        ("table.csv, line 4", 'x"y,"1"2', "',' expected after '\"'"),
        ("table.csv, line 5", "5", "1 column where the header has 2"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quote_that_is_never_closed_costs_its_own_line(tmp_path, end):
    rows = ["title,body", "a,b", '8,"never', "c,d", '9,"two', 'lines"', '7,"never', "e,f", ""]
    write(tmp_path, end.join(rows))
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context)] == ["b", "d", f"two{end}lines", "f"]
    assert [(e.document, e.excerpt) for e in context.facts.steps[0].examples] == [
        ("table.csv, line 3", '8,"never'),
        ("table.csv, line 7", '7,"never'),
    ]
    reasons = [e.reason for e in context.facts.steps[0].examples]
    assert reasons[0].startswith("a quote opens that is not closed up to line 5 (")
    assert reasons[1].startswith("a quote opens that is not closed up to line 8 (")


def test_a_quote_that_is_never_closed_in_a_long_file_ends_at_the_largest_field(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(table_rows, "_LARGE_ROW", 1000)
    write(tmp_path, 'title,body\n8,"never\n' + "a,b\n" * 5000)
    context = context_of(tmp_path)
    assert len(fetched(tmp_path, context)) == 5000
    assert steps(context) == {"rows": (5001, 1)}


QUOTES = ['"Yes" she said', '"open', '"a b"', "'c d'"]


@pytest.mark.parametrize(
    ("name", "quote", "expected"),
    [
        ("table.tsv", None, QUOTES),
        ("table.tsv", '"', ["a b", "'c d'"]),
        ("table.csv", None, ["a b", "'c d'"]),
        ("table.csv", "", QUOTES),
        ("table.csv", "'", [*QUOTES[:3], "c d"]),
    ],
)
def test_quotes_of_a_tsv_file_are_ordinary_unless_the_settings_say_otherwise(
    tmp_path, name, quote, expected
):
    write(tmp_path, "\n".join(["body\tn", *(f"{each}\t1" for each in QUOTES), ""]), name)
    assert texts(tmp_path, path=name, quote=quote) == expected


def test_an_id_that_stands_there_already_or_is_empty_is_a_bad_row(tmp_path):
    write(tmp_path, "title,body\na,1\na,2\n,3\nb,4\n")
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context, id="title")] == ["1", "4"]
    assert [e.reason for e in context.facts.steps[0].examples] == [
        "its title 'a' stands in an earlier row",
        "its title is empty",
    ]


def test_an_id_counts_among_the_rows_that_are_chosen_alone(tmp_path):
    write(tmp_path, "title,body,kind\na,1,x\na,2,y\n,3,x\na,4,y\n")
    context = context_of(tmp_path)
    chosen = [{"column": "kind", "equals": "y"}]
    assert [d.text for d in fetched(tmp_path, context, id="title", where=chosen)] == ["2"]
    assert steps(context) == {"rows": (4, 1), "where": (3, 2)}
    assert context.facts.steps[0].examples[0].excerpt == "4"


def test_a_column_that_stands_twice_is_refused_if_it_is_asked_for(tmp_path):
    write(tmp_path, "body,n,n\na,1,2\n")
    assert texts(tmp_path) == ["a"]
    with pytest.raises(VariorumError, match=r"more than one column 'n'.*a name of its own"):
        fetched(tmp_path, group="n")


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
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_delimiter_and_encoding_are_found_out_and_told(tmp_path, delimiter, encoding):
    write(tmp_path, table(delimiter).encode(encoding))
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context)] == [row[1] for row in ROWS[1:]]
    named = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
    (note,) = context.facts.notes
    assert note.startswith("1 file read as ")
    assert f"{named} between columns" in note


def test_what_the_settings_say_is_not_guessed(tmp_path):
    write(tmp_path, "a;b,body\n1;2,Gr\xf6\xdfe\n".encode("latin-1"))
    assert texts(tmp_path, delimiter=",", encoding="latin-1") == ["Größe"]
    with pytest.raises(VariorumError, match=r"cannot be read as ascii .*set source\.encoding"):
        fetched(tmp_path, encoding="ascii")


def test_one_column_needs_no_delimiter(tmp_path):
    write(tmp_path, "body\none\ntwo\n")
    assert texts(tmp_path) == ["one", "two"]


@pytest.mark.parametrize("name", ["utf-9", "base64", "rot13", "undefined", "a\0"])
def test_what_is_no_encoding_of_text_is_refused(name):
    with pytest.raises(ValueError, match="Python knows none that is called"):
        CsvSource(path="table.csv", text="body", encoding=name)


PROSE = {
    "euc_kr": "그는 아침에 일찍 일어나 강가를 걸었다 그리고 집으로 돌아왔다",
    "shift_jis": "彼は朝早く起きて川のほとりを歩き、わたしはコンピュータのデータをよむ。",
    "big5": "他早上很早起床，沿著河邊散步，然後回家吃早飯。今天天氣很好。",
    "gb18030": "他早上很早起床，沿着河边散步，然后回家吃早饭。今天天气很好。",
    "cp1251": "Он рано встал утром, прошёл вдоль реки и вернулся домой.",
    "koi8_r": "Он рано встал утром, прошёл вдоль реки и вернулся домой.",
    "cp1250": "Wstał wcześnie, poszedł wzdłuż rzeki i wrócił do domu",
    "cp1252": "Ma grand-mère disait là où elles avaient mûri",
    "cp1253": "Το πρωί ξύπνησε νωρίς και περπάτησε",
    "cp1254": "Sabah erkenden kalktı ve ırmağın kıyısında yürüdü",
    "cp1255": "הוא קם מוקדם בבוקר והלך",
    "cp1256": "استيقظ مبكرا في الصباح",
    "tis_620": "เขาตื่นแต่เช้าและเดินไปตามแม่น้ำ",
    "mac_roman": "la grand-mère était là où",
    "cp850": "la grand-mère était là où",
}


@pytest.mark.parametrize("encoding", PROSE)
@pytest.mark.parametrize("name", ["table.csv", "table.jsonl"])
@pytest.mark.parametrize("ascii_first", [False, True])
def test_an_encoding_is_asked_for_with_candidates_and_never_guessed(
    tmp_path, monkeypatch, encoding, name, ascii_first
):
    monkeypatch.setattr(decoding, "_BLOCK", 1 << 15)
    prose = PROSE[encoding].removesuffix(".")
    rows = ["plain letters and nothing else"] * (2000 * ascii_first) + [prose] * 30
    if name == "table.csv":
        lines = ["title|body", *(f"1|{row}" for row in rows)]
    else:
        lines = [json.dumps({"body": row}, ensure_ascii=False) for row in rows]
    write(tmp_path, ("\n".join(lines) + "\n").encode(encoding), name)
    number = 1 + next(n for n, line in enumerate(lines) if not line.isascii())
    with pytest.raises(VariorumError, match="Its encoding is not guessed") as caught:
        fetched(tmp_path, path=name)
    said = str(caught.value)
    assert f"{name} is no UTF-8: byte" in said
    assert f"(line {number}) is 0x" in said
    assert "set source.encoding" in said
    first = next(n for n, character in enumerate(prose) if not character.isascii())
    assert re.search(f"'[^']*{re.escape(prose[first : first + 18])}[^']*' in {encoding}", said)
    assert texts(tmp_path, path=name, encoding=encoding) == rows


def test_what_candidates_read_is_not_decided_by_how_many_bytes_there_are(tmp_path):
    write(tmp_path, "title,body\n1,caf\xe9 au lait\n".encode("latin-1"))
    with pytest.raises(VariorumError, match=r"'1,café au lait' in cp1252"):
        fetched(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_utf_16_without_a_mark_is_named_and_read_when_the_settings_say_so(tmp_path, encoding):
    write(tmp_path, "title,body\n1,plain words\n".encode(encoding))
    with pytest.raises(VariorumError, match=r"control characters; if it is UTF-16 or UTF-32"):
        fetched(tmp_path)
    assert texts(tmp_path, encoding=encoding) == ["plain words"]


@pytest.mark.parametrize("marks", [1, 2, 3])
@pytest.mark.parametrize("encoding", [None, "utf-8", "utf-8-sig"])
def test_byte_order_marks_are_no_part_of_a_name(tmp_path, marks, encoding):
    write(tmp_path, "\ufeff" * marks + "body\none\n")
    assert texts(tmp_path, encoding=encoding) == ["one"]
    write(tmp_path, "\ufeff" * marks + '{"body": "two"}\n', "table.jsonl")
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context, path="table.jsonl")] == ["two"]
    assert steps(context) == {"rows": (1, 0)}


@pytest.mark.parametrize("encoding", [None, "utf-8", "UTF8"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_stray_byte_in_utf_8_costs_its_row_alone(tmp_path, encoding, mark):
    rows = [b"title,body", *(f"{n},Gr\xf6\xdfe".encode() for n in range(20)), b""]
    rows[7] = b"6,Gr\xf6 e"
    write(tmp_path, mark + b"\n".join(rows))
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context, encoding=encoding)] == ["Größe"] * 19
    assert steps(context) == {"rows": (20, 1)}
    (example,) = context.facts.steps[0].examples
    assert (example.document, example.reason) == ("table.csv, line 8", "bytes that are no UTF-8")
    assert example.excerpt == "6,Gr\\udcf6 e"


def test_a_stray_byte_in_json_lines_is_a_bad_row_and_an_escaped_surrogate_is_none(tmp_path):
    lines = [b'{"body": "\xe4\xb8\xad\xe6\x96\x87\xe6\x96\x87\xe5\xad\x97"}']
    lines += [b'{"body": "\xff"}', b'{"body": "\\udcff"}']
    write(tmp_path, b"\n".join(lines), "table.jsonl")
    assert texts(tmp_path, path="table.jsonl") == ["中文文字", "\udcff"]


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


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json"])
def test_json_lines_are_read_under_any_of_their_names(tmp_path, suffix):
    write(tmp_path, '{"body": "one"}\r\n{"body": "two"}', f"table{suffix}")
    assert texts(tmp_path, path=f"table{suffix}") == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"body": "one"}, {"body": "two"}]', r"one JSON array, no JSON lines.*`jq -c \.\[\]`"),
        ('[\n{"body": "one"}\n]', "one JSON array, no JSON lines"),
        ('{\n  "body": "one"\n}\n', r"a JSON object over several lines.*`jq -c \.`"),
        ('{"body":\n"one"}', "a JSON object over several lines"),
        ('{"body": "one",\r\n"n": 1}\r\n', "a JSON object over several lines"),
        ('{"body"\r: "one"}', "a JSON object over several lines"),
        ('\n{"n":\n{"m": 1},\n"body": "one"}\n', "a JSON object over several lines"),
        ('{"n": 1,\n"body": "' + "long " * (1 << 15) + '"}\n', "a JSON object over several lines"),
    ],
)
def test_json_that_is_no_json_lines_is_named(tmp_path, content, message):
    write(tmp_path, content, "table.json")
    with pytest.raises(VariorumError, match=message):
        fetched(tmp_path, path="table.json")


@pytest.mark.parametrize(
    "first", ['{"body": "one"', '{"body": "o', '{"body":', '{"body": "one"} x', "{", '"one"', "{}"]
)
def test_a_first_line_that_is_no_object_costs_itself_alone(tmp_path, first):
    write(tmp_path, f'{first}\n{{"body": "two"}}\n{{"body": "three"}}\n', "table.jsonl")
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context, path="table.jsonl")] == ["two", "three"]
    assert steps(context) == {"rows": (3, 1)}


def test_json_lines_that_are_called_a_table_are_named(tmp_path):
    write(tmp_path, '{"body": "one"}\n')
    with pytest.raises(VariorumError, match=r"no column 'body'.*JSON lines: call it \.jsonl"):
        fetched(tmp_path)


# --- rows ---


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
@pytest.mark.parametrize("name", ["table.csv", "table.tsv"])
def test_an_empty_file_is_named(tmp_path, content, name):
    write(tmp_path, content, name)
    with pytest.raises(VariorumError, match=rf"{name} is empty: it has no header"):
        fetched(tmp_path, path=name)


def test_rows_that_end_early_are_read_if_what_is_asked_for_is_there_and_told(tmp_path):
    write(tmp_path, "title,body,note\na,one\nb,two,x\nc\nd,three,,\ne,four,,x\nf,five,y,\n")
    context = context_of(tmp_path)
    found = fetched(tmp_path, context, short_rows="read")
    assert [d.text for d in found] == ["one", "two", "three", "five"]
    assert steps(context) == {"rows": (6, 2)}
    assert [e.reason for e in context.facts.steps[0].examples] == [
        "1 column where the header has 3",
        "4 columns where the header has 3",
    ]
    assert any(note.startswith("1 row ends before the header does") for note in context.facts.notes)
    assert texts(tmp_path, group="note") == ["two", "three", "five"]
    context = context_of(tmp_path)
    found = fetched(tmp_path, context, short_rows="drop")
    assert [d.text for d in found] == ["two", "three", "five"]
    assert steps(context) == {"rows": (6, 3)}
    assert context.facts.steps[0].examples[0].reason == "2 columns where the header has 3"


CUT = "id,body,label\n1,first line of poem\nsecond line, with comma\nthird,pos\n4,x,neg\n"


@pytest.mark.parametrize("name", ["table.csv", "table.tsv"])
@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (CUT, 2),
        ("id,body,label\n1,first, line\nthird,pos\n4,x,neg\n", 3),
        ("id,body,label\n1,one\n2,two,x\n", 2),
        # A line end is enclosed, but other quotes are letters, or a row is too long.
        ('id,body,label\n1,"two\nlines",x\n2,"Yes" she said,x\n3,three\n', 5),
        ('id,body,label\n1,"two\nlines",x\n2,a,b,c\n3,three\n', 5),
        # A spreadsheet wrote the header, and a careless program the rows.
        ('id,body,"label\n(of a poem)"\n1,first line of a poem\nsecond line,pos\n', 3),
    ],
)
def test_a_row_that_may_be_part_of_a_cut_one_is_asked_about(tmp_path, rows, line, name):
    delimiter = "\t" if name.endswith("tsv") else ","
    write(tmp_path, rows.replace(",", delimiter), name)
    with pytest.raises(
        VariorumError, match=rf"line {line}: 2 columns .* has 3\..*set source\.short_rows"
    ):
        fetched(tmp_path, path=name, quote='"')


def test_where_line_ends_are_enclosed_no_row_is_cut_and_short_ones_are_read(tmp_path):
    write(tmp_path, 'id,body,label\n1,one\n2,two\n3,"three\nlines",x\n4,four\n')
    context = context_of(tmp_path)
    found = fetched(tmp_path, context)
    assert [d.text for d in found] == ["one", "two", "three\nlines", "four"]
    assert steps(context) == {"rows": (4, 0)}
    assert any(note.startswith("3 rows end before the header does") for note in context.facts.notes)


@pytest.mark.parametrize("name", ["table.csv", "table.tsv"])
@pytest.mark.parametrize("quote", [None, ""])
def test_a_bare_carriage_return_is_part_of_a_value(tmp_path, name, quote):
    delimiter = "\t" if name.endswith("tsv") else ","
    rows = ["n|body", "1|She is desperate.\r (Rose) She lives.", "2|ab\r3|cd", "4|last\r"]
    write(tmp_path, "\n".join([*rows, ""]).replace("|", delimiter), name)
    context = context_of(tmp_path)
    found = [d.text for d in fetched(tmp_path, context, path=name, quote=quote)]
    assert found == ["She is desperate.\r (Rose) She lives.", "last"]
    assert steps(context) == {"rows": (3, 1)}
    (example,) = context.facts.steps[0].examples
    assert example.reason == "3 columns where the header has 2"


def test_a_line_feed_before_the_carriage_return_that_ends_a_row_is_part_of_a_value(tmp_path):
    write(tmp_path, "n,body\r1,one\n\r2,\n\r")
    assert texts(tmp_path) == ["one\n", "\n"]


def test_a_value_of_any_size_is_read_if_its_quote_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(table_rows, "_LARGE_ROW", 1000)
    book = 'It was a "dark" night.\n' * 5000
    out = io.StringIO()
    standard.writer(out).writerows([["title", "body"], ["a", book], ["b", "short"], ["c", book]])
    write(tmp_path, out.getvalue())
    context = context_of(tmp_path)
    assert [d.text for d in fetched(tmp_path, context)] == [book, "short", book]
    assert steps(context) == {"rows": (3, 0)}


SPREADSHEET = ['two\nlines, with a "word" in quotes', 'one "line" quoted', "a\ttab", "plain"]


@pytest.mark.parametrize("wanted", [SPREADSHEET, *([each] for each in SPREADSHEET)])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_tsv_file_as_spreadsheets_write_it_has_whole_values(tmp_path, wanted, end):
    out = io.StringIO()
    rows = [["n", "body"], *([str(n), each] for n, each in enumerate(wanted))]
    standard.writer(out, dialect="excel-tab", lineterminator=end).writerows(rows)
    write(tmp_path, out.getvalue(), "table.tsv")
    assert texts(tmp_path, path="table.tsv") == wanted


def test_a_header_between_quotes_says_that_quotes_enclose(tmp_path):
    write(tmp_path, '"n"\t"body"\n"1"\t"a b"\n', "table.tsv")
    assert texts(tmp_path, path="table.tsv") == ["a b"]


TITLES = 'n\tbody\t"label\n(of a poem)"\n'
"""A header as a spreadsheet writes it, above rows that a script may have added."""


def test_a_header_of_two_lines_does_not_say_what_quotes_below_are(tmp_path):
    write(tmp_path, TITLES + '1\t"Hello there."\tpos\n', "table.tsv")
    with pytest.raises(VariorumError, match=r"line 3 has a value between quotes.*source\.quote"):
        fetched(tmp_path, path="table.tsv")


def test_a_header_of_two_lines_is_one_header(tmp_path):
    write(tmp_path, TITLES + '1\tHello "there".\tpos\n', "table.tsv")
    assert texts(tmp_path, path="table.tsv") == ['Hello "there".']


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (['1\t"a b"'], "line 2 has a value between quotes"),
        (['1\t"open', '2\tclose"'], "line 2 has a value between quotes"),
        (['one "word"\t""'], "line 2 has a value between quotes"),
        (['1\t"one ""word"""', '2\t"Yes" she said'], "line 2 has quotes that enclose.*line 3"),
    ],
)
def test_a_tsv_file_that_does_not_tell_what_quotes_are_is_asked_about(tmp_path, rows, message):
    write(tmp_path, "\n".join(["n\tbody", *rows, ""]), "table.tsv")
    with pytest.raises(VariorumError, match=rf"{message}.*set source\.quote"):
        fetched(tmp_path, path="table.tsv")
    assert texts(tmp_path, path="table.tsv", quote="") == [row.split("\t")[1] for row in rows]


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
import sys
from pathlib import Path
from peak_memory import peak_memory
from variorum.corpus.sources.csv import CsvSource
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus import table_rows
from variorum.corpus.sources import csv
root = Path(sys.argv[1])
source = CsvSource(path="table.csv", text="body", where=[{"column": "n", "matches": "00000$"}])
before = peak_memory()
count = sum(1 for _ in csv.fetch(source, FetchContext(root, root, (), lambda line: None)))
print(count, peak_memory() - before)
"""


def test_a_large_file_is_streamed(tmp_path):
    rows = 300_000
    with (tmp_path / "table.csv").open("w") as file:
        file.write("n,body\n")
        file.writelines(f"{n},{'words of a row ' * 8}\n" for n in range(rows))
    count, grown = map(int, measured(LARGE, tmp_path).split())
    assert count == 2
    assert (tmp_path / "table.csv").stat().st_size > 35_000_000
    assert grown < 20_000_000
