"""Define the settings of a corpus: how documents are cleaned and split."""

from typing import Literal

from variorum.config.types import Real, Settings, Text, Truth, Whole, setting


class NormalizeSettings(Settings):
    """Describe how raw documents become clean ones."""

    repair_encoding: Truth = setting(True, "Undo mojibake such as â€™ for ’ (ftfy).")
    unicode_form: Literal["NFC", "NFKC", "none"] = setting("NFC", "Unicode normalization form.")
    collapse_spaces: Truth = setting(
        False, "Turn runs of spaces and tabs into one space, and of blank lines into one."
    )
    drop_duplicates: Truth = setting(True, "Drop documents whose text occurred before.")
    min_characters: Whole = setting(1, "Shorter documents are dropped.", unit="characters", ge=1)
    min_letter_share: Real | None = setting(
        None,
        "Drop documents with a smaller share of letters among all but spaces.",
        ge=0,
        le=1,
        omit_when=None,
    )
    min_mean_word_length: Real | None = setting(
        None,
        "Drop documents whose words are shorter on average.",
        unit="characters",
        ge=1,
        omit_when=None,
    )
    max_mean_word_length: Real | None = setting(
        None,
        "Drop documents whose words are longer on average.",
        unit="characters",
        ge=1,
        omit_when=None,
    )
    max_symbols_per_word: Real | None = setting(
        None,
        "Drop documents with more hash signs and ellipses for each word.",
        ge=0,
        omit_when=None,
    )
    max_repeated_lines: Real | None = setting(
        None,
        "Drop documents with a larger share of repeated lines.",
        ge=0,
        le=1,
        omit_when=None,
    )
    near_duplicates: Real | None = setting(
        None,
        "Drop documents that share at least this much of their five-word runs with an "
        "earlier one (Jaccard similarity, estimated by MinHash); where words have no spaces "
        "between them, each character is a word.",
        ge=0.2,
        le=1,
        omit_when=None,
    )


class SplitSettings(Settings):
    """Describe which documents are trained on, chosen on and reported on."""

    by: Literal["group", "position"] = setting(
        "group", "By a hash of each document's group, or by position within one single text."
    )
    val_fraction: Real = setting(0.1, "Share of the text to choose on.", gt=0, lt=0.5)
    test_fraction: Real = setting(0.1, "Share of the text to report on.", gt=0, lt=0.5)
    salt: Text = setting("variorum", "Changes which part the hash assigns to each group.")
    train_includes_val: Truth = setting(
        False, "Train on val as well: for comparisons with recipes that hold out one part only."
    )
