"""Report a wrong setting and suggest what was meant."""

from collections.abc import Sequence
from datetime import date
from difflib import get_close_matches

from variorum.base.errors import VariorumError

# Other code bases' names of our settings, for "did you mean".
PEER_NAMES = {
    "block_size": "context_length",
    "n_ctx": "context_length",
    "n_positions": "context_length",
    "max_seq_len": "context_length",
    "seq_len": "context_length",
    "d_model": "n_embd",
    "hidden_size": "n_embd",
    "dim": "n_embd",
    "num_layers": "n_layer",
    "n_layers": "n_layer",
    "num_hidden_layers": "n_layer",
    "depth": "n_layer",
    "num_heads": "n_head",
    "n_heads": "n_head",
    "num_attention_heads": "n_head",
    "lr": "learning_rate",
    "min_lr": "min_learning_rate",
    "max_iters": "max_steps",
    "num_steps": "max_steps",
    "warmup_iters": "warmup_steps",
    "eval_interval": "val_interval",
    "max_norm": "grad_clip",
    "max_grad_norm": "grad_clip",
    "rope_theta": "rotary_base",
    "pos_emb": "positions",
    "position_encoding": "positions",
    "optim": "optimizer",
    "num_merges": "vocab_size",
    "temp": "temperature",
    "max_new_tokens": "max_tokens",
}


class ConfigError(VariorumError):
    """Report wrong settings; one line for each fault."""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a question that names the known word most like `word`, if one is."""
    word = PEER_NAMES.get(word, word)
    close = get_close_matches(word, known, n=1)
    return f" did you mean `{close[0]}`?" if close else ""


def shown(value: object) -> str:
    """Return a value as messages show it: text in quotes, dates as typed."""
    return str(value) if isinstance(value, date) else repr(value)
