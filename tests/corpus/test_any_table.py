"""Any table, written in any way and read with any settings: each value whole, or told.

The readers find out what the settings leave out. Whatever they find, a document is a value that
was written, letter for letter and in order; a row that is no document is counted; and where nothing
tells how a file is written, the error names the setting.
"""

import csv as standard
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, event, given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.corpus.decoding import STRAY
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.sources import csv
from variorum.corpus.sources.csv import CsvSource

# Letters of one alphabet each, and the encodings that it has beside Unicode's.
ALPHABETS = {
    "abc": ("ascii",),
    "abcéèçœñü“”–€": ("cp1252", "mac_roman"),
    "abcłśćżąęřž": ("cp1250",),
    "абвгджзыь": ("cp1251", "koi8_r", "cp866"),
    "αβγδεωή": ("cp1253",),
    "日本語のテキスト": ("shift_jis", "euc_jp"),
    "中文文字汉语": ("gb18030",),
    "한국어글자": ("euc_kr",),
}
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le")
SIGNS = " .,;|\t\"'\n\r{}[]"


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], str]:
    """Rows of three columns, an id that differs and two texts, with an encoding that holds them."""
    letters = draw(st.sampled_from(list(ALPHABETS)))
    encoding = draw(st.sampled_from((*UNICODE, *ALPHABETS[letters])))
    cells = st.text(st.sampled_from(letters * 3 + SIGNS), max_size=12)
    rows = draw(st.lists(st.tuples(cells, cells), min_size=1, max_size=12))
    return [[f"n{n}", *row] for n, row in enumerate(rows)], encoding


def fetched(data: bytes, name: str, given_settings: dict[str, str]) -> tuple[list[str], int]:
    """The documents of a file with this content, as `id: text`, and how many rows were dropped."""
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        context = FetchContext(Path(folder), Path(folder), (), lambda line: None)
        source = CsvSource(path=name, text="{body}", id="n", **given_settings)
        found = [f"{d.id}: {d.text}" for d in csv.fetch(source, context)]
        return found, context.facts.steps[0].dropped


def check(
    rows: list[list[str]], data: bytes, encoding: str, name: str, settings: dict[str, str]
) -> None:
    """Compare what is read with what was written."""
    # Another encoding may give valid UTF-8 by chance, which nobody can tell.
    beyond = sum(byte > 127 for byte in data)
    strays = len(STRAY.findall(data.decode("utf-8", "surrogateescape")))
    assume("encoding" in settings or encoding in UNICODE or not beyond or 10 * strays > beyond)
    try:
        found, dropped = fetched(data, name, settings)
    except VariorumError as problem:
        error = str(problem)
    else:
        event("read")
        assert (found, dropped) == ([f"{n}: {body}" for n, body, _ in rows], 0)
        return
    event("asked")
    asked = [setting for setting in ("encoding", "quote") if f"source.{setting}" in error]
    assert asked, error
    assert not set(asked) <= set(settings), error


@given(
    tables(),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(['"', "'"]),
    st.sampled_from([standard.QUOTE_MINIMAL, standard.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["table.csv", "table.tsv"]),
    st.sets(st.sampled_from(["delimiter", "encoding", "quote"])),
)
def test_a_table_is_read_as_it_was_written_or_asked_about(
    table, delimiter, quote, quoting, end, name, told
):
    rows, encoding = table
    out = io.StringIO()
    writer = standard.writer(
        out, delimiter=delimiter, quotechar=quote, quoting=quoting, lineterminator=end
    )
    writer.writerows([["n", "body", "more"], *rows])
    settings = {"delimiter": delimiter, "encoding": encoding, "quote": quote}
    # Only the double quote is found out.
    given_settings = {s: v for s, v in settings.items() if s in told or (s, v) == ("quote", "'")}
    check(rows, out.getvalue().encode(encoding), encoding, name, given_settings)


@given(tables(), st.sampled_from([".jsonl", ".ndjson", ".json"]), st.booleans(), st.booleans())
def test_json_lines_are_read_as_they_were_written_or_asked_about(table, suffix, told, escaped):
    rows, encoding = table
    lines = (
        json.dumps({"n": n, "body": body, "more": more}, ensure_ascii=escaped)
        for n, body, more in rows
    )
    data = "".join(f"{line}\n" for line in lines).encode(encoding)
    if told:
        found, dropped = fetched(data, f"table{suffix}", {"encoding": encoding})
        assert (found, dropped) == ([f"{n}: {body}" for n, body, _ in rows], 0)
    else:
        check(rows, data, encoding, f"table{suffix}", {})


@given(tables(), st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_table_without_quotes_has_every_sign_in_its_values(table, delimiter, end):
    rows, encoding = table
    kept = str.maketrans("", "", delimiter + ("\r" if end == "\r" else "\n"))
    rows = [[cell.translate(kept).rstrip("\r\n") + "." for cell in row] for row in rows]
    data = "".join(delimiter.join(row) + end for row in [["n", "body", "more"], *rows])
    settings = {"quote": "", "delimiter": delimiter, "encoding": encoding}
    found, dropped = fetched(data.encode(encoding), "table.csv", settings)
    assert (found, dropped) == ([f"{n}: {body}" for n, body, _ in rows], 0)


@given(tables())
def test_a_tsv_file_without_quotes_is_read_line_by_line_or_asked_about(table):
    """As it comes from a database: no value holds a tab or a line end, and quotes are letters."""
    rows, _ = table
    rows = [[cell.translate(str.maketrans("", "", "\t\r\n")) for cell in row] for row in rows]
    data = "".join("\t".join(row) + "\n" for row in [["n", "body", "more"], *rows]).encode()
    check(rows, data, "utf-8", "table.tsv", {})


# Rows that end early: a careful writer encloses line ends, and may leave out empty values at the
# end of a row; a careless one encloses nothing, so that line ends cut rows.

LABELS = ("pos", "neg", "")


@st.composite
def labelled(draw: st.DrawFn) -> list[list[str]]:
    """Rows of an id, a text, and one or two labels, which occur in no text."""
    body = st.text(st.sampled_from("abc" * 3 + ", ;\n\r"), max_size=12)
    labels = [st.sampled_from(LABELS)] * draw(st.integers(1, 2))
    rows = draw(st.lists(st.tuples(body, *labels), min_size=1, max_size=8))
    return [[f"n{n}", *row] for n, row in enumerate(rows)]


def header_of(rows: list[list[str]]) -> list[str]:
    return ["n", "body", "label", "more"][: len(rows[0])]


def trimmed(row: list[str]) -> list[str]:
    while not row[-1]:
        row = row[:-1]
    return row


@given(
    labelled(),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from([None, "read", "drop"]),
)
def test_rows_of_a_careful_writer_that_end_early_are_read_or_asked_about(
    rows, delimiter, end, encloses_all, told
):
    def enclosed(cell: str) -> str:  # `csv.writer` leaves line ends of another kind as they are
        return f'"{cell}"' if encloses_all or {delimiter, "\n", "\r"} & {*cell} else cell

    written = [trimmed(row) for row in rows]
    table = [header_of(rows), *written]
    data = "".join(delimiter.join(map(enclosed, row)) + end for row in table)
    settings = {"delimiter": delimiter, **({"short_rows": told} if told else {})}
    least = len(rows[0]) if told == "drop" else 2
    wanted = [f"{row[0]}: {row[1]}" for row in written if len(row) >= least]
    try:
        found = fetched(data.encode(), "table.csv", settings)
    except VariorumError as problem:
        error = str(problem)
    else:
        event("read")
        assert found == (wanted, len(rows) - len(wanted))
        return
    event("asked")
    assert "no row is left" in error if told or not wanted else "set source.short_rows" in error


@given(
    labelled(),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([{}, {"quote": ""}, {"short_rows": "drop"}]),
)
def test_no_label_of_a_careless_writers_table_is_a_text(rows, delimiter, end, told):
    data = "".join(delimiter.join(row) + end for row in [header_of(rows), *rows])
    settings = {"delimiter": delimiter, **told}
    try:
        found, _ = fetched(data.encode(), "table.csv", settings)
    except VariorumError as problem:
        error, found = str(problem), []
    else:
        error = ""
    event("asked" if error else "read")
    assert not error or "set source.short_rows" in error or "no row is left" in error
    for document in found:
        text = document.partition(": ")[2]
        assert any(text in row[1] for row in rows), document
