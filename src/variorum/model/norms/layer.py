"""LayerNorm (Ba et al. 2016, section 3): mean 0 and variance 1 over a token's channels."""

from torch import nn

from variorum.config.model_settings import ModelSettings


class Norm(nn.LayerNorm):
    """Over the last dimension, with a trained scale, and with a shift if the model has biases."""

    kind = "Norm"

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings.n_embd, bias=settings.bias)
