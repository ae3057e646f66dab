"""Small models that the stress cases on the implementation are tried on."""

import numpy as np
import torch

from variorum.config.evaluation_settings import SamplingSettings, StressSettings
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.evaluation.stress.behaviour.words import all_words
from variorum.evaluation.stress.catalogue import implementation
from variorum.evaluation.stress.subject import StressedModel, StressTexts
from variorum.model.gpt import GPT
from variorum.tokenizer.kinds.bpe import train

TEXT = "The function returns a list of the symbols that the graph of the given nodes holds. "
TOKENIZER = train([TEXT * 3], TokenizerSettings(kind="bpe", vocab_size=280))
MODEL = ModelSettings(n_layer=1, n_head=2, n_embd=16, context_length=16)
SETTINGS = StressSettings(
    prompts=("The ", ""),
    case_tokens=40,
    sampling=SamplingSettings(temperature=1.0, max_tokens=20),
    texts=6,
    text_tokens=20,
)
HELD_OUT = np.array([*TOKENIZER.encode(TEXT), TOKENIZER.eot], dtype=np.uint16)
COUNTS = np.bincount(HELD_OUT, minlength=TOKENIZER.vocab_size)
TEXTS = StressTexts(HELD_OUT, np.zeros(len(HELD_OUT), dtype=np.int64), COUNTS, all_words([TEXT]))


def sound_model(cls=GPT):
    """Untrained, but with opinions that depend on the context; writes plain letters only."""
    model = cls(MODEL, TOKENIZER.vocab_size, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(15)
    return model.eval()


class Letters(GPT):
    """Writes printable ASCII only, as a trained model does."""

    def head(self, features):
        """Logits of everything else are low."""
        logits = super().head(features)
        plain = torch.zeros(self.vocab_size, dtype=torch.bool)
        plain[:94] = True  # the printing ones of ASCII, in GPT-2's order
        return torch.where(plain, logits / 20, logits / 20 - 12)


def subject_of(model, tokenizer=TOKENIZER, settings=SETTINGS):
    return StressedModel(model, tokenizer, settings, TEXTS)


def cases(model, tokenizer=TOKENIZER, settings=SETTINGS):
    found = implementation(subject_of(model, tokenizer, settings))
    return {case.name: case for case in found}


def failed(model, tokenizer=TOKENIZER, settings=SETTINGS):
    return {name for name, case in cases(model, tokenizer, settings).items() if not case.passed}
