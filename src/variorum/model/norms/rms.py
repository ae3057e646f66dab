"""RMSNorm (Zhang and Sennrich 2019, section 4): mean square 1 over a token's channels."""

from torch import nn

from variorum.config.model_settings import ModelSettings

EPSILON = 1e-5


class Norm(nn.RMSNorm):
    """Over the last dimension, with a trained scale; it has no shift."""

    kind = "Norm"

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings.n_embd, eps=EPSILON)
