"""Read rows of JSON lines one by one."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.corpus.decoding import opened
from variorum.corpus.table_rows import HEADER, Row

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


def json_rows(file: Path, encoding: str, columns: list[str]) -> Iterator[Row]:
    """Yield a row per JSON line; numbers stay as spelled, null is empty.

    Raises:
        VariorumError: if the file is one array, or one object over several lines.
    """
    with opened(file, encoding, newline="") as stream:
        sample = stream.read(HEADER)
    _refuse_one_value(file, sample)
    end = "\n" if "\n" in sample or "\r" not in sample else "\r"
    with opened(file, encoding, newline=end) as stream:
        for line, content in enumerate(stream, start=1):
            if not content.strip():
                continue
            try:
                data = json.loads(content, parse_int=str, parse_float=str, parse_constant=str)
            except (ValueError, RecursionError) as problem:
                yield Row(line, content, {}, f"no JSON ({str(problem).split(':')[0]})")
                continue
            if fault := _fault_of_object(data, columns):
                yield Row(line, content, {}, fault)
            else:
                yield Row(line, content, {name: _text(data[name]) for name in columns})


def _refuse_one_value(file: Path, sample: str) -> None:
    start = sample.lstrip()
    is_spread = _is_spread(start)
    if start.startswith("[") or is_spread:
        raise VariorumError(
            f"{file} is {'a JSON object over several lines' if is_spread else 'one JSON array'}, "
            "no JSON lines; write one object a line, for example with "
            f"`jq -c {'.' if is_spread else '.[]'}`."
        )


def _is_spread(start: str) -> bool:
    """Return whether a JSON object that begins here has several lines.

    It has if it ends on a later one, or if its first line is right as far as it reaches. Above
    another object that is a line that was cut.
    """
    line, _, below = start.partition("\n" if "\n" in start else "\r")
    if not start.startswith("{") or not below:
        return False
    decoder = json.JSONDecoder()
    with suppress(ValueError, RecursionError):
        return decoder.raw_decode(start)[1] > len(line)
    try:
        decoder.raw_decode(line)
    except json.JSONDecodeError as problem:
        return problem.pos >= len(line.rstrip()) and not below.lstrip().startswith("{")
    except RecursionError:
        pass
    return False


def _fault_of_object(data: Any, columns: list[str]) -> str:
    """Return why a JSON value is no row with these columns, or ""."""
    if not isinstance(data, dict):
        return "no JSON object"
    if missing := [name for name in columns if name not in data]:
        return f"no {', no '.join(missing)}"
    nested = [name for name in columns if isinstance(data[name], (dict, list))]
    return f"{', '.join(nested)} is no single value" if nested else ""


def _text(value: object) -> str:
    """Return a single JSON value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
