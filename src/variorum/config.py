"""Typed settings: what an experiment may say, in which units and ranges, and what it means.

These models are the single source of the configuration: the editor's schema, the checks, the
defaults and the canonical form that keys are computed from all come from here. They decide
nothing by themselves; a stage receives the values.

Two kinds of metadata travel with a setting, both given to `setting()`:

- `component`: the folder whose files are the setting's possible values (see `components`).
- `neutral`: for a setting added later, the value that means "as before it existed". The canonical
  form omits a setting at its neutral value, so adding an option changes no key.
"""

import re
from collections.abc import Iterator
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from variorum import components
from variorum.metrics import HEADLINE, METRICS

BYTES = 256
SOURCES = "corpus/sources"
ARXIV_API = "https://export.arxiv.org/api/query"
GENIUS_API = "https://api.genius.com/"
GENIUS_SITE = "https://genius.com/"
SAFE_FOR_TOKENS = r"^(https://|http://(127\.0\.0\.1|localhost)[:/]).*/$"
MOST_ODDS = 2**20
MOST_SEED = 2**63 - 1
SPECIAL_TOKENS = 1  # <|endoftext|>, as in GPT-2

KEPT_AS = "kept"
"""In a variant of an ablation: the name of kept results that it consists of."""

LAST_STAGE = "last_stage"
"""In a variant of an ablation: the stage that it ends with, where that is another."""

CODE_AS = "code"
"""In a variant of an ablation: the code that it is run by, where that is another."""


def setting(
    default: Any = ...,
    explanation: str = "",
    *,
    unit: str | None = None,
    component: str | None = None,
    neutral: Any = ...,
    **bounds: Any,
) -> Any:
    """A field of a settings model, with its one-line explanation, unit and range."""
    extra: dict[str, Any] = {}
    if unit:
        extra["unit"] = unit
    if component:
        extra["component"] = component
    if neutral is not ...:
        extra["neutral"] = neutral
    return Field(default, description=explanation, json_schema_extra=extra, **bounds)


def _number(value: Any) -> Any:
    """Make a number of its YAML 1.1 spelling: `1e-5` and `1e-05` arrive as text from some tools."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "should be a number")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise PydanticCustomError("number", "should be a number") from None
    return value


def _whole_number(value: Any) -> Any:
    value = _number(value)
    if isinstance(value, float) and not value.is_integer():
        raise PydanticCustomError("whole_number", "should be a whole number")
    return int(value) if isinstance(value, float) else value


def _text(value: Any) -> Any:
    """Keep `version: 1.14` from being read as a number without a word."""
    if isinstance(value, (bool, int, float)):
        raise PydanticCustomError("text", "should be text: put it in quotes")
    return value


Real = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[int | float, BeforeValidator(_number)]  # 8 stays 8
Text = Annotated[str, BeforeValidator(_text)]
Truth = Annotated[bool, Field(strict=True)]
StopString = Annotated[str, Field(min_length=1), BeforeValidator(_text)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Seed = Annotated[Whole, Field(ge=0, le=MOST_SEED)]


AnySettings = TypeVar("AnySettings", bound="Settings")


class Settings(BaseModel):
    """A section of the configuration: immutable, and strict about what it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="after")
    def _components_exist(self) -> Self:
        for name, field in type(self).model_fields.items():
            folder = field_metadata(field).get("component")
            value = getattr(self, name)
            if folder and not components.exists(str(folder), value):
                raise PydanticCustomError(
                    "component",
                    "{name}: there is no '{value}'; choose one of {known}",
                    {
                        "name": name,
                        "value": value,
                        "known": ", ".join(components.options(str(folder))),
                    },
                )
        return self


def field_metadata(field: Any) -> dict[str, Any]:
    """What `setting()` attached to a field beside its type."""
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


# --- corpus ---------------------------------------------------------------------------------


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


class NormalizeSettings(Settings):
    """How raw documents become clean ones."""

    repair_encoding: Truth = setting(True, "Undo mojibake such as â€™ for ’ (ftfy).")
    unicode_form: Literal["NFC", "NFKC", "none"] = setting("NFC", "Unicode normalization form.")
    collapse_spaces: Truth = setting(
        False, "Turn runs of spaces and tabs into one space, and of blank lines into one."
    )
    drop_duplicates: Truth = setting(True, "Drop documents whose text was seen before.")
    min_characters: Whole = setting(1, "Shorter documents are dropped.", unit="characters", ge=1)
    min_letter_share: Real | None = setting(
        None,
        "Drop documents with a smaller share of letters among all but spaces.",
        ge=0,
        le=1,
        neutral=None,
    )
    min_mean_word_length: Real | None = setting(
        None,
        "Drop documents whose words are shorter on average.",
        unit="characters",
        ge=1,
        neutral=None,
    )
    max_mean_word_length: Real | None = setting(
        None,
        "Drop documents whose words are longer on average.",
        unit="characters",
        ge=1,
        neutral=None,
    )
    max_symbols_per_word: Real | None = setting(
        None, "Drop documents with more hash signs and ellipses for each word.", ge=0, neutral=None
    )
    max_repeated_lines: Real | None = setting(
        None,
        "Drop documents with a larger share of lines that stood before in them.",
        ge=0,
        le=1,
        neutral=None,
    )
    near_duplicates: Real | None = setting(
        None,
        "Drop documents that have at least this share of their five-word runs in common with an "
        "earlier one (Jaccard similarity, estimated by MinHash).",
        ge=0.2,
        le=1,
        neutral=None,
    )


class SplitSettings(Settings):
    """Which documents are trained on, chosen on and reported on."""

    by: Literal["group", "position"] = setting(
        "group", "By a hash of each document's group, or by position within one single text."
    )
    val_fraction: Real = setting(0.1, "Share of the text to choose on.", gt=0, lt=0.5)
    test_fraction: Real = setting(0.1, "Share of the text to report on.", gt=0, lt=0.5)
    salt: Text = setting("variorum", "Changes which groups the hash puts on which side.")
    train_includes_val: Truth = setting(
        False, "Train on val as well: for comparisons with recipes that hold out one part only."
    )


class CorpusSettings(Settings):
    """One corpus: where its text comes from, how it is cleaned and split."""

    source: Source = setting(..., "Where the text comes from.")
    normalize: NormalizeSettings = setting(NormalizeSettings(), "How it is cleaned.")
    split: SplitSettings = setting(SplitSettings(), "How it is split.")


class CorporaSettings(Settings):
    """The corpus of pretraining and that of fine-tuning."""

    base: CorpusSettings = setting(..., "What the model is pretrained on.")
    domain: CorpusSettings | None = setting(
        ..., "What it is fine-tuned on; null leaves fine-tuning out."
    )

    @model_validator(mode="after")
    def _split_alike(self) -> Self:
        """A group must stand on one side in both: test text of one must not be trained on."""
        if self.domain is None or {self.base.split.by, self.domain.split.by} != {"group"}:
            return self
        for name in ("salt", "val_fraction", "test_fraction"):
            base, domain = getattr(self.base.split, name), getattr(self.domain.split, name)
            if base != domain:
                raise PydanticCustomError(
                    "split",
                    "domain.split.{name}: {domain} differs from base's {base}, so one group could "
                    "stand on two sides; give both the same",
                    {"name": name, "domain": str(domain), "base": str(base)},
                )
        return self


class TokenizerSettings(Settings):
    """How text becomes tokens."""

    kind: Text = setting("bpe", "The tokenizer.", component="tokenizer/kinds")
    vocab_size: Whole | None = setting(
        1024, "Size of the vocabulary (bpe; characters take what the text has).", unit="tokens"
    )
    train_on: Literal["base", "both"] = setting("base", "The corpora whose train part it sees.")

    @model_validator(mode="before")
    @classmethod
    def _characters_take_what_there_is(cls, data: Any) -> Any:
        """A size that decides nothing must not enter a key."""
        if isinstance(data, dict) and data.get("kind") == "characters":
            return {**data, "vocab_size": None}
        return data

    @model_validator(mode="after")
    def _holds_every_byte(self) -> Self:
        least = BYTES + SPECIAL_TOKENS
        if self.kind == "bpe" and (self.vocab_size is None or self.vocab_size < least):
            raise PydanticCustomError(
                "vocab_size",
                "vocab_size: {found} cannot hold the {bytes} bytes and {special} special token; "
                "give at least {least}",
                {
                    "found": str(self.vocab_size),
                    "bytes": BYTES,
                    "special": SPECIAL_TOKENS,
                    "least": least,
                },
            )
        return self


# --- model and training ---------------------------------------------------------------------


class ModelSettings(Settings):
    """A decoder-only Transformer (Radford et al. 2019) and its size."""

    n_layer: Whole = setting(4, "Transformer blocks.", ge=1)
    n_head: Whole = setting(4, "Attention heads; must divide n_embd.", ge=1)
    n_embd: Whole = setting(128, "Width of the residual stream.", ge=1)
    context_length: Whole = setting(128, "Most tokens seen at once.", unit="tokens", ge=2)
    positions: Text = setting("learned", "Position encoding.", component="model/positions")
    rotary_base: Real = setting(
        10000.0, "Slowest wavelength of rotary positions, over 2π.", gt=1, neutral=10000.0
    )
    feed_forward: Text = setting(
        "gelu", "Feed-forward network.", component="model/feed_forwards", neutral="gelu"
    )
    norm: Text = setting("layer", "Norm.", component="model/norms", neutral="layer")
    norm_position: Literal["before", "after"] = setting(
        "before", "Norms before each part of a block (GPT-2), or after it.", neutral="before"
    )
    attention: Text = setting(
        "fused",
        "How attention is computed: fused, or written out.",
        component="model/attentions",
        neutral="fused",
    )
    document_attention: Truth = setting(
        False, "Tokens look at no document before their own.", neutral=False
    )
    qk_norm: Truth = setting(False, "Queries and keys are brought to length √D.", neutral=False)
    token_shift: Truth = setting(
        False, "Each token's embedding also holds a share of its predecessor's.", neutral=False
    )
    ngrams: tuple[Whole, ...] = setting(
        (), "Lengths of the n-grams that have hashed embeddings of their own.", neutral=()
    )
    ngram_buckets: Whole = setting(
        16384, "Rows of each table of n-grams.", unit="rows", ge=1, neutral=16384
    )
    tied_head: Truth = setting(
        True, "The embedding is the output layer as well, as in GPT-2.", neutral=True
    )
    zero_outputs: Truth = setting(
        False, "What writes into the residual stream begins at zero.", neutral=False
    )
    dropout: Real = setting(0.0, "Share of activations dropped while training.", ge=0, lt=1)
    attention_dropout: Real | None = setting(
        None,
        "Share of attention's weights dropped while training; null: as dropout.",
        ge=0,
        lt=1,
        neutral=None,
    )
    bias: Truth = setting(True, "Biases in linear layers and norms, as GPT-2 has them.")

    @model_validator(mode="after")
    def _ngrams_fit(self) -> Self:
        orders = self.ngrams
        if any(order < 2 for order in orders) or len(set(orders)) < len(orders):
            raise PydanticCustomError(
                "ngrams",
                "ngrams: {found} should name lengths of 2 and more, each once, as [2, 3]",
                {"found": str(list(orders))},
            )
        return self

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.n_embd % self.n_head:
            raise PydanticCustomError(
                "n_head",
                "n_head: {heads} heads do not divide the width n_embd = {width}; try {near}",
                {"heads": self.n_head, "width": self.n_embd, "near": self._nearest_divisor()},
            )
        if self.positions == "rotary" and (self.n_embd // self.n_head) % 2:
            raise PydanticCustomError(
                "n_head",
                "n_head: rotary positions turn pairs of channels, so n_embd / n_head must be even, "
                "not {size}",
                {"size": self.n_embd // self.n_head},
            )
        return self

    def _nearest_divisor(self) -> int:
        divisors = [n for n in range(1, self.n_embd + 1) if self.n_embd % n == 0]
        return min(divisors, key=lambda n: (abs(n - self.n_head), -n))


class ImportedSettings(Settings):
    """A GPT-2 with its tokenizer, made elsewhere, in Hugging Face's layout."""

    path: Text = setting(..., "Folder of the model, relative to the project.", min_length=1)
    sha256: Sha256 | None = setting(
        None, "SHA-256 over its files. Left out, it is computed before anything runs."
    )


class TrainingSettings(Settings):
    """One training, be it pretraining or fine-tuning."""

    learning_rate: Real = setting(1e-3, "Highest rate of the schedule.", gt=0, le=1)
    min_learning_rate: Real = setting(1e-4, "Rate at the end of the schedule.", ge=0, le=1)
    warmup_steps: Whole = setting(100, "Steps over which the rate rises.", unit="steps", ge=0)
    max_steps: Whole = setting(2000, "Steps in all.", unit="steps", ge=1)
    schedule: Text = setting("cosine", "How the rate changes.", component="training/schedules")
    decay_share: Real = setting(
        0.2, "stable_decay: share of the steps in which the rate falls.", gt=0, le=1, neutral=0.2
    )
    optimizer: Text = setting("adamw", "The optimizer.", component="training/optimizers")
    momentum: Real = setting(
        0.95, "Memory of the gradient of sgd and of muon's matrices.", ge=0, lt=1, neutral=0.95
    )
    matrix_rate: Real = setting(
        1.0, "Rate of the matrices that muon turns, times the rate.", gt=0, neutral=1.0
    )
    beta1: Real = setting(0.9, "Memory of Adam's mean gradient.", ge=0, lt=1)
    beta2: Real = setting(0.99, "Memory of Adam's mean squared gradient.", ge=0, lt=1)
    epsilon: Real = setting(1e-8, "Keeps Adam's division finite.", gt=0)
    weight_decay: Real = setting(0.1, "Decoupled decay of matrices, times the rate.", ge=0)
    grad_clip: Real = setting(1.0, "Largest norm of the gradient; 0 never clips.", ge=0)
    batch_size: Whole = setting(24, "Sequences a step.", unit="sequences", ge=1)
    accumulation: Whole = setting(
        1,
        "Parts of a shard that are computed one after the other, for less memory.",
        ge=1,
        neutral=1,
    )
    batches: Text = setting(
        "replacement",
        "Which windows of the text a step sees.",
        component="training/batch_orders",
        neutral="replacement",
    )
    stride: Whole | None = setting(
        None,
        "Tokens from one window to the next, for sliding and permutation; null: the context.",
        unit="tokens",
        ge=1,
        neutral=None,
    )
    precision: Literal["fp32", "bf16"] = setting(
        "fp32", "Numbers of matrix products; weights and sums stay fp32.", neutral="fp32"
    )
    compile: bool = setting(
        False,
        "Have PyTorch compile the model's loss: half a minute first, then faster steps.",
        neutral=False,
    )
    patience: Whole | None = setting(
        None,
        "Looks at val without a lower loss after which the training ends; null: none do.",
        unit="looks",
        ge=1,
        neutral=None,
    )
    shards: Whole = setting(
        2, "Logical shards of a batch, each one thread's work; part of the numerics.", ge=1, le=64
    )
    val_interval: Whole = setting(
        100, "Steps between looks at val, which the checkpoint is chosen by.", unit="steps", ge=1
    )
    val_tokens: Whole = setting(
        65536, "Most tokens of val that are looked at each time.", unit="tokens", ge=2
    )
    selection: Literal["best", "last"] = setting(
        "best", "Keep the weights with the lowest loss on val, or the last ones."
    )
    sample_tokens: Whole = setting(
        64, "Length of the text sample at each look at val; 0 for none.", unit="tokens", ge=0
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rows = self.batch_size // self.shards
        if self.batch_size % self.shards == 0 and rows % self.accumulation:
            raise PydanticCustomError(
                "accumulation",
                "accumulation: the {rows} sequences of a shard cannot be cut into {parts} equal "
                "parts; give a divisor of {rows}",
                {"rows": rows, "parts": self.accumulation},
            )
        if self.batch_size % self.shards:
            raise PydanticCustomError(
                "batch_size",
                "batch_size: {batch} sequences cannot be shared equally by {shards} shards; "
                "try {near}",
                {
                    "batch": self.batch_size,
                    "shards": self.shards,
                    "near": -(-self.batch_size // self.shards) * self.shards,
                },
            )
        if self.warmup_steps >= self.max_steps:
            raise PydanticCustomError(
                "warmup_steps",
                "warmup_steps: {warmup} leaves nothing of max_steps = {steps}; give less",
                {"warmup": self.warmup_steps, "steps": self.max_steps},
            )
        if self.min_learning_rate > self.learning_rate:
            raise PydanticCustomError(
                "min_learning_rate",
                "min_learning_rate: {low} is above learning_rate = {high}; give at most that",
                {"low": self.min_learning_rate, "high": self.learning_rate},
            )
        return self


class FinetuneSettings(TrainingSettings):
    """Fine-tuning: the same training at a reduced rate."""

    learning_rate: Real = setting(3e-4, "Highest rate of the schedule.", gt=0, le=1)
    min_learning_rate: Real = setting(3e-5, "Rate at the end of the schedule.", ge=0, le=1)
    warmup_steps: Whole = setting(20, "Steps over which the rate rises.", unit="steps", ge=0)
    max_steps: Whole = setting(500, "Steps in all.", unit="steps", ge=1)
    replay: Real = setting(
        0.0, "Share of each batch that is text of the base corpus.", ge=0, lt=1, neutral=0.0
    )
    freeze: tuple[Text, ...] = setting(
        (),
        "Parts that stay as they are, by the beginnings of their names: wte, h.0, h.0.attn.",
        neutral=(),
    )

    @model_validator(mode="after")
    def _replays_what_it_says(self) -> Self:
        rows = round(self.replay * self.batch_size)
        if self.replay and not 1 <= rows < self.batch_size:
            raise PydanticCustomError(
                "replay",
                "replay: {share} of {batch} sequences is {rows}; with this batch_size give 0, or "
                "from {least} to {most}",
                {
                    "share": self.replay,
                    "batch": self.batch_size,
                    "rows": "none" if not rows else "all of them",
                    "least": f"{1 / self.batch_size:.2g}",
                    "most": f"{1 - 1 / self.batch_size:.2g}",
                },
            )
        return self


# --- evaluation and report ------------------------------------------------------------------


class EvaluateSettings(Settings):
    """How the test text is scored."""

    stride: Whole | None = setting(
        None,
        "Tokens scored per window. null: half the context, so that every token sees at least "
        "half of it; the context length: separate blocks, as nanoGPT does.",
        unit="tokens",
        ge=1,
    )
    ngram_order: Whole = setting(
        6, "Symbols of the longest n-grams of the baseline.", ge=1, le=7, neutral=6
    )
    memorization_tokens: Whole = setting(
        2048,
        "Tokens that the model writes to see how much of them stands in train.",
        unit="tokens",
        ge=64,
        neutral=2048,
    )


class SamplingSettings(Settings):
    """How tokens are drawn from the model's probabilities."""

    temperature: Real = setting(0.8, "Divides the logits; 0 takes the likeliest token.", ge=0)
    top_k: Whole | None = setting(None, "Keep only so many of the likeliest tokens.", ge=1)
    top_p: Real = setting(
        0.95, "Keep the likeliest tokens that have this probability together.", gt=0, le=1
    )
    min_p: Real = setting(
        0.0,
        "Keep tokens with at least this share of the likeliest one's probability; 0 keeps all.",
        ge=0,
        le=1,
        neutral=0.0,
    )
    repetition_penalty: Real = setting(
        1.0,
        "Divides positive logits of tokens that stood there lately, and multiplies negative ones; "
        "1 does nothing.",
        ge=1,
        neutral=1.0,
    )
    repetition_window: Whole = setting(
        64,
        "How far back repetition_penalty looks, into the prompt too.",
        unit="tokens",
        ge=1,
        neutral=64,
    )
    stop: tuple[StopString, ...] = setting(
        (), "The text ends before the first of these texts in it.", neutral=()
    )
    valid_utf8: Truth = setting(
        True, "Draw only tokens that keep the text valid UTF-8, its end too.", neutral=False
    )
    max_tokens: Whole = setting(200, "Most tokens to write.", unit="tokens", ge=1)
    seed: Whole = setting(1, "Seed of the draws.", ge=0, le=MOST_SEED)


class StressSettings(Settings):
    """What a model must bear: thresholds of the verdicts, and the prompts of the samples."""

    prompts: tuple[str, ...] = setting(
        ("The", "This function"), "Prompts that every model of the report continues.", min_length=1
    )
    sampling: SamplingSettings = setting(SamplingSettings(), "How those are continued.")
    case_tokens: Whole = setting(256, "Tokens written in each case.", unit="tokens", ge=16)
    overflow_loss_ratio: Real = setting(
        1.25, "Context overflow: most that loss may grow beyond the context's end.", gt=1
    )
    repetition_share: Real = setting(
        0.7, "Repetition: most of a sampled text that may repeat itself.", gt=0, le=1
    )
    high_temperature: Real = setting(1.5, "High temperature: the temperature.", gt=1)
    high_temperature_valid_share: Real = setting(
        0.95, "High temperature: least share of characters that are valid text.", gt=0, le=1
    )
    noise_share: Real = setting(
        0.1,
        "Noise: share of the characters that are replaced, left out, or swapped with the next.",
        gt=0,
        le=1,
        neutral=0.1,
    )
    noise_loss_ratio: Real = setting(
        1.5,
        "Noise: most that the loss of clean text may grow when noisy text stands before it.",
        gt=1,
        neutral=1.5,
    )


class ReportSettings(Settings):
    """What the page says beside what was measured."""

    notes: dict[Literal["base", "domain"], Text] = setting(
        {}, "A published result to compare with, for each corpus that has one."
    )


class Experiment(Settings):
    """Everything that decides a result."""

    title: Text = setting(..., "One line for the report.")
    preset: Text | None = setting(
        None, "A file of config/presets/ whose settings hold where nothing else is said."
    )
    seed: Whole = setting(1, "Seed of initial weights and batches.", ge=0, le=MOST_SEED)
    corpus: CorporaSettings = setting(..., "The texts.")
    imported: ImportedSettings | None = setting(
        None,
        "A GPT-2 that takes the place of the tokenizer and of pretraining; null: none does.",
        neutral=None,
    )
    tokenizer: TokenizerSettings = setting(TokenizerSettings(), "The tokenizer.")
    model: ModelSettings = setting(ModelSettings(), "The model.")
    pretrain: TrainingSettings = setting(TrainingSettings(), "Training on the base corpus.")
    finetune: FinetuneSettings = setting(
        FinetuneSettings(), "Training of the pretrained model on the domain corpus."
    )
    evaluate: EvaluateSettings = setting(EvaluateSettings(), "Scoring on test.")
    stress: StressSettings = setting(StressSettings(), "Stress tests and samples.")
    report: ReportSettings = setting(ReportSettings(), "The page.")
    strict_libraries: Truth = setting(
        False,
        "Make the versions of the libraries that a stage uses part of its key. Else `variorum "
        "verify` warns when they changed.",
        neutral=False,
    )

    @model_validator(mode="after")
    def _tokenizer_has_both(self) -> Self:
        if self.tokenizer.train_on == "both" and self.corpus.domain is None:
            raise PydanticCustomError(
                "train_on",
                "tokenizer.train_on: both needs a domain corpus, and corpus.domain is null; "
                "give one, or train_on: base",
            )
        return self

    @model_validator(mode="after")
    def _frozen_parts_exist(self) -> Self:
        """Found here rather than after the pretraining; deeper names are checked with the model."""
        layers = [f"h.{number}" for number in range(self.model.n_layer)]
        known = ["wte", "positions", "shift", "ngrams", "h", *layers, "ln_f", "lm_head"]
        for name in self.finetune.freeze:
            part = ".".join(name.split(".")[: 1 + name.startswith("h.")])
            if part not in known:
                raise PydanticCustomError(
                    "freeze",
                    "finetune.freeze: no part of a model is called {found}; there are {known}",
                    {"found": name, "known": ", ".join(known)},
                )
        return self

    @model_validator(mode="after")
    def _strides_fit(self) -> Self:
        """Text between two windows would be scored, or trained on, by nobody."""
        context = self.model.context_length
        for section in ("evaluate", "pretrain", "finetune"):
            stride = getattr(self, section).stride
            if stride is not None and stride > context:
                raise PydanticCustomError(
                    "stride",
                    "{section}.stride: {stride} is more than model.context_length = {context}; "
                    "give at most that",
                    {"section": section, "stride": stride, "context": context},
                )
        return self


if TYPE_CHECKING:
    MetricName = str
else:
    MetricName = Literal[*METRICS]


class Ablation(Settings):
    """A question: one experiment, what varies, over which seeds, against which baseline."""

    title: Text = setting(..., "One line above the table.")
    question: Text = setting(..., "What the table is to answer.")
    experiment: Text = setting(..., "The experiment whose settings are varied.")
    last_stage: Literal["pretrain", "finetune"] = setting(
        "pretrain", "The model that is judged; nothing beyond it runs."
    )
    corpora: tuple[Literal["base", "domain"], ...] = setting(
        ("base",), "The corpora whose test parts are scored.", min_length=1
    )
    metric: MetricName = setting(HEADLINE.name, "What the variants are compared by.")
    variants: dict[str, dict[str, Any]] = setting(
        {},
        "Name of each variant and the settings it changes. It may also say `last_stage`, and "
        "`code`, a branch, tag, commit or patch file that it is run by; or `kept: NAME` alone, for "
        "models that `variorum keep NAME` pinned.",
    )
    grid: dict[str, tuple[Any, ...]] = setting(
        {},
        "Settings, such as `model.positions`, and the values of each: every combination is a "
        "variant, beside those of `variants`.",
    )
    baseline: Text = setting(..., "The variant that the others are compared with.")
    seeds: tuple[Seed, ...] = setting((1, 2, 3, 4, 5), "Seeds of the runs.", min_length=2)
    budget: Literal["steps", "tokens", "time"] | None = setting(
        None,
        "What every variant's last training gets as much of as the baseline's: steps, tokens, or "
        "time, by the paces in config/paces.lock. null: each trains as long as it says.",
    )
    tune: dict[str, tuple[Number, ...]] = setting(
        {},
        "A setting, such as `pretrain.learning_rate`, and the values that are tried for every "
        "variant alike, in rising order; the best by loss on val is taken for each.",
        max_length=1,
    )

    @model_validator(mode="after")
    def _kept_ones_stand_alone(self) -> Self:
        for variant, changes in self.variants.items():
            if KEPT_AS in changes and not (len(changes) == 1 and type(changes[KEPT_AS]) is str):
                raise PydanticCustomError(
                    "kept",
                    "variants.{variant}.kept: should be the name of kept results, and all that the "
                    "variant says: their settings are what they were",
                    {"variant": variant},
                )
        return self

    @model_validator(mode="after")
    def _code_is_named(self) -> Self:
        for variant, changes in self.variants.items():
            if CODE_AS in changes and not (changes[CODE_AS] and type(changes[CODE_AS]) is str):
                raise PydanticCustomError(
                    "code",
                    "variants.{variant}.code: {found} should be a branch, a tag, a commit or a "
                    "patch file, as text: put it in quotes",
                    {"variant": variant, "found": changes[CODE_AS]},
                )
        return self

    @model_validator(mode="after")
    def _lists_hold_something(self) -> Self:
        for name, values in self.grid.items():
            if not values:
                raise PydanticCustomError(
                    "grid", "grid.{name}: no values; give at least one", {"name": name}
                )
        for name, values in self.tune.items():
            if len(values) < 3 or list(values) != sorted(set(values)):
                raise PydanticCustomError(
                    "tune",
                    "tune.{name}: {found} should be three values or more, in rising order",
                    {"name": name, "found": list(values)},
                )
        for name in ("corpora", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise PydanticCustomError(name, "{name}: each may stand here once", {"name": name})
        return self

    @model_validator(mode="after")
    def _seeds_are_shared(self) -> Self:
        if "seed" in self.grid or any("seed" in changes for changes in self.variants.values()):
            raise PydanticCustomError(
                "seeds", "seeds: a variant sets seed, which every variant takes from here; drop it"
            )
        return self


# --- what each stage is given ---------------------------------------------------------------


class DownloadStage(Settings):
    """Fetch one corpus's text; its bytes are pinned by the source's SHA-256."""

    source: Source


class NormalizeStage(Settings):
    """Clean one corpus and split it."""

    normalize: NormalizeSettings
    split: SplitSettings


class TokenizerStage(Settings):
    """Learn the tokens."""

    tokenizer: TokenizerSettings


class EncodeStage(Settings):
    """Turn one corpus into token files; there is nothing to choose."""


class PretrainStage(Settings):
    """Train from nothing."""

    seed: Whole
    model: ModelSettings
    training: TrainingSettings


class ImportedStage(Settings):
    """Read a model that was made elsewhere; `model` is what its files say that it is."""

    imported: ImportedSettings
    model: ModelSettings


class FinetuneStage(Settings):
    """Train on from a pretrained result."""

    seed: Whole
    training: FinetuneSettings


class EvaluateStage(Settings):
    """Score one model on one corpus's test part."""

    evaluate: EvaluateSettings


class StressStage(Settings):
    """Ask one model to write."""

    stress: StressSettings


class FiguresStage(Settings):
    """Draw; there is nothing to choose."""


class ReportStage(Settings):
    """The page: what it is called and which command makes it."""

    title: Text
    experiment: Text
    command: Text
    notes: dict[Text, Text] = {}


class TableRun(Settings):
    """One run of an ablation, whose results are the upstreams `<run>/<seed>/...`.

    value: of the setting that is tuned; None: the variant's own.
    """

    run: Text
    variant: Text
    seed: Whole
    value: Number | None


class TableStage(Settings):
    """The table of an ablation.

    tuned: the setting that was tuned. codes: of variants that another code runs, how that was
    named. edited: of variants that could have another code than the baseline, whether they have.
    kept: of variants that were made before, the name that they are kept under. uncounted: variants
    whose models other code defines, so that the code that is here cannot count their operations.
    """

    title: Text
    question: Text
    baseline: Text
    last_stage: Text
    corpora: tuple[Text, ...]
    metric: MetricName
    tuned: Text | None
    command: Text
    runs: tuple[TableRun, ...]
    codes: dict[Text, Text] = setting({}, neutral={})
    edited: dict[Text, Truth] = setting({}, neutral={})
    kept: dict[Text, Text] = setting({}, neutral={})
    uncounted: tuple[Text, ...] = setting((), neutral=())


STAGES: dict[str, type[Settings]] = {
    "download": DownloadStage,
    "normalize": NormalizeStage,
    "tokenizer": TokenizerStage,
    "encode": EncodeStage,
    "pretrain": PretrainStage,
    "imported": ImportedStage,
    "finetune": FinetuneStage,
    "evaluate": EvaluateStage,
    "stress": StressStage,
    "figures": FiguresStage,
    "report": ReportStage,
    "table": TableStage,
}
"""Every stage, in the order of the flow, and the settings it is given."""

TRAININGS = ("pretrain", "finetune")
"""The stages that train a model, in the order of the flow."""

MODELS = ("pretrain", "imported", "finetune")
"""The stages whose results hold a model, in the order of the flow."""


# --- canonical form -------------------------------------------------------------------------


def canonical(settings: Settings) -> dict[str, Any]:
    """The settings as plain data, without those at their neutral value."""
    result: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        extra = field_metadata(field)
        if "neutral" in extra and value == extra["neutral"]:
            continue
        result[name] = _plain(value)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return canonical(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def chosen_components(settings: Settings) -> list[tuple[str, str]]:
    """Every (folder, option) that these settings choose, sorted."""
    found: set[tuple[str, str]] = set()
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if folder := field_metadata(field).get("component"):
            found.add((str(folder), value))
        else:
            found.update(*map(chosen_components, _settings_in(value)))
    return sorted(found)


def _settings_in(value: Any) -> Iterator[Settings]:
    if isinstance(value, Settings):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _settings_in(item)


def restored(model: type[AnySettings], data: dict[str, Any]) -> AnySettings:
    """The settings that `canonical` wrote: what it left out was at its neutral value."""
    return model.model_validate(with_neutrals(model, data))


def with_neutrals(model: type[Settings], data: dict[str, Any]) -> dict[str, Any]:
    """Canonical settings with what was left out because it was at its neutral value."""
    filled = dict(data)
    for name, field in model.model_fields.items():
        extra = field_metadata(field)
        if name not in filled and "neutral" in extra:
            filled[name] = extra["neutral"]
        if isinstance(filled.get(name), dict) and (inner := models_of(field.annotation)):
            kind = filled[name].get("kind")
            chosen = [m for m in inner if kind in (None, _default_kind(m))] or inner
            filled[name] = with_neutrals(chosen[0], filled[name])
    return filled


def _default_kind(model: type[Settings]) -> Any:
    field = model.model_fields.get("kind")
    return field.default if field else None


def models_of(annotation: Any) -> list[type[Settings]]:
    """The settings models inside a type such as `A | B | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in models_of(part)]
