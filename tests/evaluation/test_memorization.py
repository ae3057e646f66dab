"""A model that learned its text by heart is found out, and one that knows nothing is not."""

from collections.abc import Iterator

import pytest
import torch

from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.evaluation.memorization import memorization
from variorum.model.gpt import GPT
from variorum.tokenizer.kinds import characters

WORDS = ("first", "second", "third", "fourth")
LINES = [f"in the {word} year of the king a letter came from the {word} isle" for word in WORDS]
TOKENIZER = characters.train(LINES, TokenizerSettings(kind="characters"))
SETTINGS = ModelSettings(n_layer=2, n_head=2, n_embd=32, context_length=64, positions="rotary")


def learned_by_heart() -> GPT:
    model = GPT(SETTINGS, TOKENIZER.vocab_size, seed=1)
    ids = torch.tensor([t for line in 3 * LINES for t in (TOKENIZER.eot, *TOKENIZER.encode(line))])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    draw = torch.Generator().manual_seed(1)
    for _ in range(300):
        first = torch.randint(len(ids) - 64, (8,), generator=draw)
        rows = torch.stack([ids[i : i + 65] for i in first])
        optimizer.zero_grad()
        model.loss(rows[:, :-1], rows[:, 1:]).backward()
        optimizer.step()
    return model


def test_what_was_learned_by_heart_is_found() -> None:
    found = memorization(learned_by_heart(), TOKENIZER, 1200, train=LINES, test=["x" * 80])
    assert found.written_share > 0.1
    assert found.test_share == 0
    assert 1200 <= found.tokens < 1200 + 8 * 150  # texts end early, and others are begun


def test_who_knows_nothing_has_nothing_by_heart() -> None:
    fresh = GPT(SETTINGS, TOKENIZER.vocab_size, seed=1)
    found = memorization(fresh, TOKENIZER, 1200, train=LINES, test=[LINES[0][3:]])
    assert found.written_share == 0
    assert found.test_share == 1
    again = memorization(fresh, TOKENIZER, 1200, train=Anew(), test=iter([LINES[0][3:]]))
    assert again == found


class Anew:
    """Lines that are read each time, as from a file."""

    def __iter__(self) -> Iterator[str]:
        return iter(LINES)


def test_train_that_can_be_read_once_only_is_refused() -> None:
    fresh = GPT(SETTINGS, TOKENIZER.vocab_size, seed=1)
    with pytest.raises(ValueError, match="train is an iterator, and is read twice"):
        memorization(fresh, TOKENIZER, 64, train=iter(LINES), test=LINES)


def test_short_documents_learned_by_heart_are_found() -> None:
    names = [f"{word} isle" for word in WORDS]
    model = GPT(SETTINGS, TOKENIZER.vocab_size, seed=1)
    ids = torch.tensor([t for name in names for t in (TOKENIZER.eot, *TOKENIZER.encode(name))])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(ids[None, :-1], ids[None, 1:]).backward()
        optimizer.step()
    found = memorization(model, TOKENIZER, 400, train=names, test=[*names, "no isle"])
    assert found.written_share is not None
    assert found.written_share > 0.5
    assert found.test_share == 4 / 5
    assert memorization(model, TOKENIZER, 64, train=names, test=[""]).test_share is None
