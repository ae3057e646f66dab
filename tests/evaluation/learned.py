"""A small language, and a model that has learned it in seconds."""

import random
from functools import cache

import numpy as np
import torch

from variorum.config.evaluation_settings import SamplingSettings, StressSettings
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.evaluation.stress.behaviour.panel import Panel
from variorum.evaluation.stress.behaviour.words import all_words
from variorum.evaluation.stress.catalogue import BEHAVIOUR
from variorum.evaluation.stress.subject import StressedModel, StressTexts
from variorum.model.gpt import GPT
from variorum.tokenizer.kinds.bpe import train

SYLLABLES = ("ba", "ke", "li", "mo", "nu", "ra", "so", "ti", "vu", "ze")
NAMES = [a + b + "n" for a in SYLLABLES[::2] for b in SYLLABLES[1::2]]
VERBS = ("sees", "likes", "follows", "hears", "finds", "leaves")
PLACES = ("hill", "river", "forest", "garden", "village", "harbour")
MODEL = ModelSettings(n_layer=2, n_head=2, n_embd=48, context_length=32)
STEPS, BATCH, RATE = 300, 16, 5e-3
SETTINGS = StressSettings(
    prompts=("The ", ""),
    sampling=SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=20),
    case_tokens=16,
    texts=12,
    text_tokens=64,
    temperatures=(0.5, 2.0),
)


def document(chance):
    """A few sentences."""
    return " ".join(
        f"The {chance.choice(NAMES)} {chance.choice(VERBS)} the {chance.choice(NAMES)} near the "
        f"{chance.choice(PLACES)}."
        for _ in range(chance.randint(2, 4))
    )


@cache
def language():
    """Texts of 40 groups to train on and of 14 held out, as one stream each, and the tokenizer."""
    chance = random.Random(1)
    groups = [[document(chance) for _ in range(8)] for _ in range(54)]
    tokenizer = train(
        [text for group in groups[:40] for text in group],
        TokenizerSettings(kind="bpe", vocab_size=300),
    )
    streams = [
        np.array([t for text in group for t in [*tokenizer.encode(text), tokenizer.eot]])
        for group in groups
    ]
    held_out = streams[40:]
    read = np.concatenate(streams[:40])
    texts = StressTexts(
        np.concatenate(held_out),
        np.repeat(np.arange(len(held_out)), [len(stream) for stream in held_out]),
        np.bincount(read, minlength=tokenizer.vocab_size),
        all_words(text for group in groups[:40] for text in group),
    )
    return read, texts, tokenizer


@cache
def weights():
    """The weights after training; by Adam, its rate falling to zero."""
    read, _, tokenizer = language()
    model = GPT(MODEL, tokenizer.vocab_size, 0)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    generator = torch.Generator().manual_seed(1)
    stream, n = torch.from_numpy(read), MODEL.context_length
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        starts = torch.randint(len(stream) - n, (BATCH,), generator=generator)
        ids = stream[starts[:, None] + torch.arange(n + 1)]
        optimizer.zero_grad()
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
    return model.state_dict()


def learned(cls=GPT):
    """A model with those weights."""
    _, _, tokenizer = language()
    model = cls(MODEL, tokenizer.vocab_size, 0)
    model.load_state_dict(weights())
    return model.eval()


def subject_of(model, settings=SETTINGS, **changed):
    _, texts, tokenizer = language()
    return StressedModel(model, tokenizer, settings.model_copy(update=changed), texts)


def behaviours(model, **changed):
    panel = Panel(subject_of(model, **changed))
    return {case.name: case for case in (each(panel) for each in BEHAVIOUR)}
