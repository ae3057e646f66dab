"""Apply LayerNorm: mean 0, variance 1 over channels (Ba et al. 2016, section 3)."""

from torch import nn

from variorum.config.model_settings import ModelSettings


class Norm(nn.LayerNorm):
    """Normalize the last dimension, with a trained scale and, with biases, a shift."""

    kind = "Norm"

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings.n_embd, bias=settings.bias)
