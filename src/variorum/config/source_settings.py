"""Settings of the sources of text."""

import re
from string import Formatter
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlencode, urlsplit

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from variorum.config.canonical import canonical
from variorum.config.types import MOST_SEED, Settings, Sha256, Text, Whole, setting

SOURCES = "corpus/sources"
ARXIV_API = "https://export.arxiv.org/api/query"
GENIUS_API = "https://api.genius.com/"
GENIUS_SITE = "https://genius.com/"
SAFE_FOR_TOKENS = r"^(https://|http://(127\.0\.0\.1|localhost)[:/]).*/$"
MOST_ODDS = 2**20


class PythonPackageSource(Settings):
    """Text from a pure-Python package that the lock pins: the same bytes on every machine."""

    kind: Literal["python-package"] = setting(
        "python-package", "The kind of source.", component=SOURCES
    )
    package: Text = setting(..., "Name of the installed package that is read, as it is imported.")
    version: Text = setting(..., "The exact version that the lock pins.")
    part: Literal["prose", "docstrings", "source"] = setting(
        "prose", "What is read: prose paragraphs of docstrings, whole docstrings, or source code."
    )
    sha256: Sha256 = setting(
        ..., "SHA-256 over the package's Python files (`variorum digest PACKAGE` prints it)."
    )


class ChangingSource(Settings):
    """A source whose answer may change: it is locked in config/sources.lock at first use."""

    asked_by: ClassVar[str]
    """The setting that says what is asked for; a message names its line."""

    kind: str
    sha256: Sha256 | None

    @property
    def lock_name(self) -> str:
        """Its name in the lock: its kind and all that decides what is asked, as a query says it."""
        asked = {name: value for name, value in canonical(self).items() if name != "sha256"}
        return f"{asked.pop('kind')}?{urlencode(sorted(asked.items()), doseq=True)}"


class UrlSource(ChangingSource):
    """One text file behind an http(s) address."""

    asked_by: ClassVar[str] = "url"

    kind: Literal["url"] = setting("url", "The kind of source.", component=SOURCES)
    url: Text = setting(..., "Address of the file.", pattern=r"^https?://")
    sha256: Sha256 | None = setting(
        None, "SHA-256 of the file. Left out, it is locked in config/sources.lock at first use."
    )

    @model_validator(mode="after")
    def _address_can_be_read(self) -> Self:
        try:
            urlsplit(self.url)
        except ValueError as error:
            raise PydanticCustomError(
                "url",
                "url: '{found}' is no address ({problem}); correct it",
                {"found": self.url, "problem": str(error)},
            ) from None
        return self

    @property
    def lock_name(self) -> str:
        """The address itself."""
        return self.url


class ArxivSource(ChangingSource):
    """Abstracts of the papers that a query to arXiv finds."""

    asked_by: ClassVar[str] = "query"

    kind: Literal["arxiv"] = setting("arxiv", "The kind of source.", component=SOURCES)
    query: Text = setting(
        ...,
        "What is searched, as arXiv's API spells it (`cat:cs.CL AND abs:parsing`).",
        min_length=1,
    )
    max_results: Whole = setting(1000, "Most papers to take.", unit="papers", ge=1, le=300_000)
    order: Literal["relevance", "oldest", "newest"] = setting(
        "relevance", "Which come first. The answer changes least with `oldest`."
    )
    page_size: Whole = setting(100, "Papers a request.", unit="papers", ge=1, le=2000, neutral=100)
    api: Text = setting(ARXIV_API, "Address of the API.", pattern=r"^https?://", neutral=ARXIV_API)
    sha256: Sha256 | None = setting(
        None, "SHA-256 of the documents. Left out, it is locked in config/sources.lock."
    )


class GeniusSource(ChangingSource):
    """Lyrics from Genius, with the access token of the environment variable GENIUS_ACCESS_TOKEN."""

    asked_by: ClassVar[str] = "artists"

    kind: Literal["genius"] = setting("genius", "The kind of source.", component=SOURCES)
    artists: tuple[Text, ...] = setting(..., "Names of the artists.", min_length=1)
    max_songs: Whole = setting(
        50, "Most songs of each artist, the most popular first.", unit="songs", ge=1
    )
    api: Text = setting(
        GENIUS_API, "Address of the API.", pattern=SAFE_FOR_TOKENS, neutral=GENIUS_API
    )
    site: Text = setting(
        GENIUS_SITE, "Address of the song pages.", pattern=SAFE_FOR_TOKENS, neutral=GENIUS_SITE
    )
    sha256: Sha256 | None = setting(
        None, "SHA-256 of the documents. Left out, it is locked in config/sources.lock."
    )


class LocalSource(Settings):
    """Files on this machine."""

    path: Text = setting(..., "A file, a folder or a glob pattern, relative to the project.")
    suffixes: tuple[str, ...]
    sha256: Sha256 | None = setting(
        None, "SHA-256 over the files. Left out, it is computed before anything runs."
    )


class FilesSource(LocalSource):
    """Text files on this machine: a file, a folder, or a pattern."""

    kind: Literal["files"] = setting("files", "The kind of source.", component=SOURCES)
    suffixes: tuple[str, ...] = setting(
        (".txt", ".md"), "In a folder, the endings of the files that are read."
    )


class RowFilter(Settings):
    """A condition on one column; a table's rows that fail it are left out."""

    column: Text = setting(..., "The column that is looked at.")
    equals: Text | None = setting(None, "It must be this.")
    any_of: tuple[Text, ...] | None = setting(None, "It must be one of these.", min_length=1)
    matches: Text | None = setting(
        None, "This regular expression must be found in it; \\w, \\d, \\s and \\b mean ASCII."
    )

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        given = [n for n in ("equals", "any_of", "matches") if getattr(self, n) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "where",
                "where: give one of equals, any_of, matches for column '{column}', not {found}",
                {"column": self.column, "found": " and ".join(given) or "none"},
            )
        try:
            re.compile(self.matches or "", re.ASCII)
        except re.error as error:
            raise PydanticCustomError(
                "where",
                "where: matches '{found}' is no regular expression ({problem}); correct it",
                {"found": str(self.matches), "problem": str(error)},
            ) from None
        return self


class CsvSource(LocalSource):
    """Tables on this machine: files of comma- or tab-separated values, or of JSON lines."""

    kind: Literal["csv"] = setting("csv", "The kind of source.", component=SOURCES)
    suffixes: tuple[str, ...] = setting(
        (".csv", ".tsv", ".jsonl"), "In a folder, the endings of the files that are read."
    )
    text: Text = setting(
        ...,
        "The column that holds the text, or a template such as `{title}: {body}`.",
        min_length=1,
    )
    group: Text | None = setting(
        None, "The column whose rows must stand on one side of a split; null: each row for itself."
    )
    id: Text | None = setting(None, "The column that names a row; null: its file and number.")
    where: tuple[RowFilter, ...] = setting((), "Conditions that a row must meet, all of them.")
    delimiter: Text | None = setting(
        None, "What stands between columns; null: found out.", min_length=1, max_length=1
    )
    quote: Text | None = setting(
        None,
        "What encloses values that hold a delimiter or a line end; '' for nothing; null: '\"', but "
        "nothing in .tsv files.",
        max_length=1,
        neutral=None,
    )
    encoding: Text | None = setting(None, "The files' encoding; null: found out.")

    @model_validator(mode="after")
    def _template_and_encoding_exist(self) -> Self:
        try:
            parts = list(Formatter().parse(self.text))
            if any(name == "" or spec or how for _, name, spec, how in parts if name is not None):
                raise ValueError("only {column} may stand in braces")
        except ValueError as error:
            raise PydanticCustomError(
                "text",
                "text: '{found}' is no template ({problem}); write the names of columns in braces",
                {"found": self.text, "problem": str(error)},
            ) from None
        try:
            "".encode(self.encoding or "utf-8")
        except (LookupError, ValueError):  # base64 is a codec, but no encoding of text
            raise PydanticCustomError(
                "encoding",
                "encoding: Python knows none that is called '{found}'; give one such as cp1252",
                {"found": str(self.encoding)},
            ) from None
        return self


class SyntheticSource(Settings):
    """A made-up language whose entropy is known: a random Markov chain over letters."""

    kind: Literal["synthetic"] = setting("synthetic", "The kind of source.", component=SOURCES)
    alphabet_size: Whole = setting(
        16, "Letters of the language, from a on.", unit="letters", ge=2, le=26
    )
    order: Whole = setting(
        2, "How many letters back decide what comes next.", unit="letters", ge=0, le=6
    )
    sharpness: Whole = setting(
        4, "How uneven the odds of the next letter are; 0 makes all alike.", ge=0, le=32
    )
    documents: Whole = setting(1000, "How many documents.", unit="documents", ge=1)
    length: Whole = setting(1000, "Length of each document.", unit="letters", ge=1)
    seed: Whole = setting(1, "Seed of the odds and of the text.", ge=0, le=MOST_SEED)

    @model_validator(mode="after")
    def _table_fits(self) -> Self:
        size = self.alphabet_size ** (self.order + 1)
        if size > MOST_ODDS:
            raise PydanticCustomError(
                "order",
                "order: {order} with an alphabet of {letters} needs {size} odds, and {most} are "
                "the most; give less of either",
                {
                    "order": self.order,
                    "letters": self.alphabet_size,
                    "size": size,
                    "most": MOST_ODDS,
                },
            )
        return self


SOURCE_KINDS = ("python-package", "url", "files", "csv", "arxiv", "genius", "synthetic")
Source = Annotated[
    PythonPackageSource
    | UrlSource
    | FilesSource
    | CsvSource
    | ArxivSource
    | GeniusSource
    | SyntheticSource,
    Field(discriminator="kind"),
]
