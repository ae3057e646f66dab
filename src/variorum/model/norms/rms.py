"""Apply RMSNorm: mean square 1 over channels (Zhang and Sennrich 2019, section 4)."""

from torch import Tensor, nn

from variorum.config.model_settings import ModelSettings
from variorum.model.rms_norm import rms_norm

EPSILON = 1e-5


class Norm(nn.RMSNorm):
    """Normalize the last dimension, with a trained scale and no shift."""

    kind = "Norm"

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings.n_embd, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., C), normalized and scaled."""
        return rms_norm(x, EPSILON, self.weight)
