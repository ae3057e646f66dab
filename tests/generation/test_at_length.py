"""Many texts without an invalid byte, and a text of many contexts in the memory of one."""

import json
from collections.abc import Callable, Iterator
from random import Random

import pytest
import torch

from conftest import measured
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.generation.sampler import Draft, write
from variorum.generation.text import continue_texts
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.kinds import bpe, characters

SCRIPTS = "to be été Привет 漢字かな שלום 👍🏽🇺🇳🫠 " * 3
TOGETHER = 500  # texts


def random_model(tokenizer: Tokenizer) -> GPT:
    settings = ModelSettings(n_layer=1, n_head=2, n_embd=16, context_length=8)
    model = GPT(settings, tokenizer.vocab_size, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # far from uniform
    return model.eval()


def drafts(tokenizer: Tokenizer, first_seed: int) -> list[Draft]:
    """Prompts cut anywhere, lengths from what finishes their last character on."""
    random = Random(first_seed)
    ids = tokenizer.encode(SCRIPTS)
    made = []
    for number in range(TOGETHER):
        start = random.randrange(len(ids))
        prompt = ids[start : start + random.randint(1, 12)]
        settings = SamplingSettings(
            temperature=2.0, top_p=1.0, max_tokens=random.randint(3, 12), seed=first_seed + number
        )
        made.append(Draft(prompt, settings, stop=tokenizer.eot, tokenizer=tokenizer))
    return made


def written(tokenizer: Tokenizer, count: int) -> Iterator[bytes]:
    """The bytes of so many texts, what their prompts left unfinished in front."""
    model = random_model(tokenizer)
    for first_seed in range(0, count, TOGETHER):
        batch = drafts(tokenizer, first_seed)
        texts = [draft.prompt[:] for draft in batch]
        for number, token in write(model, batch):
            texts[number].append(token)
        for ids in texts:
            # a prompt may begin inside a character, but not end there
            data = tokenizer.decode_bytes(ids)
            yield data.lstrip(bytes(range(0x80, 0xC0)))


def count_invalid(count: int) -> dict[str, int]:
    """Texts written by both kinds of tokenizer, their bytes and characters, and invalid ones."""
    trained = bpe.train([SCRIPTS], TokenizerSettings(vocab_size=300))
    kinds = (trained, characters.train(["to be"], TokenizerSettings(kind="characters")))
    found = {"texts": 0, "bytes": 0, "characters beyond ASCII": 0, "invalid texts": 0}
    for tokenizer in kinds:
        for data in written(tokenizer, count // len(kinds)):
            text = data.decode("utf-8", "replace")
            found["texts"] += 1
            found["bytes"] += len(data)
            found["characters beyond ASCII"] += len(text) - sum(map(str.isascii, text))
            found["invalid texts"] += text.encode() != data
    return found


def test_thousands_of_texts_at_temperature_two_have_no_invalid_byte() -> None:
    found = count_invalid(2 * TOGETHER)
    assert found["texts"] == 2 * TOGETHER
    assert found["characters beyond ASCII"] > found["texts"]
    assert found["invalid texts"] == 0


@pytest.mark.long
def test_a_hundred_thousand_texts_at_temperature_two_have_no_invalid_byte(
    record_property: Callable[[str, object], None],
) -> None:
    found = count_invalid(100_000)
    for name, count in found.items():
        record_property(name, count)
    assert found["texts"] == 100_000
    assert found["invalid texts"] == 0


def test_without_the_guard_most_of_those_texts_are_invalid() -> None:
    """So the tests above have something to find."""
    tokenizer = bpe.train([SCRIPTS], TokenizerSettings(vocab_size=300))
    free = [
        SamplingSettings(temperature=2.0, top_p=1.0, max_tokens=12, valid_utf8=False, seed=seed)
        for seed in range(100)
    ]
    texts = continue_texts(random_model(tokenizer), tokenizer, ["to "] * 100, free)
    assert sum("\ufffd" in each.text for each in texts) > 50


CONTEXT = 128
MEMORY = f"""
import json, torch
from peak_memory import peak_memory
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.model_settings import ModelSettings
from variorum.generation.sampler import generate
from variorum.model.gpt import GPT

torch.set_num_threads(1)
settings = ModelSettings(n_layer=4, n_head=4, n_embd=256, context_length={CONTEXT})
chosen = SamplingSettings(max_tokens=12 * {CONTEXT}, valid_utf8=False)
peaks = []
for count, _ in enumerate(generate(GPT(settings, 300), [0], chosen), start=1):
    if count % {CONTEXT} == 0:
        peaks.append(peak_memory())
print(json.dumps(peaks))
"""


def test_ten_more_contexts_take_no_more_memory() -> None:
    peaks = json.loads(measured(MEMORY))  # after each context
    assert len(peaks) == 12
    of_one_context = 4 * 2 * CONTEXT * 256 * 4  # bytes of keys and values
    assert peaks[-1] - peaks[1] < of_one_context / 2
