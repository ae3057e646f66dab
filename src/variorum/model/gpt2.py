"""Build GPT-2 (Radford et al. 2019) without options, for reading.

Nothing is left out. `model.gpt` is the model that is trained here; a test holds that the two give
equal logits with equal weights. Shapes: B sequences, T tokens, C channels, H heads of D = C / H
channels, V tokens in the vocabulary.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def gelu(x: Tensor) -> Tensor:
    """Return x times the normal distribution function, nearly (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class LayerNorm(nn.Module):
    """Bring each token's channels to mean 0 and variance 1, then scale and shift."""

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_embd))
        self.bias = nn.Parameter(torch.zeros(n_embd))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (B, T, C), in the same shape."""
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred**2).mean(-1, keepdim=True)  # (B, T, 1)
        return centred / torch.sqrt(variance + 1e-5) * self.weight + self.bias


class GPT2Attention(nn.Module):
    """Let each token gather from itself and the tokens before it."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Mix values: (B, T, C) to (B, T, C)."""
        B, T, C = x.shape
        D = C // self.n_head

        def heads(y: Tensor) -> Tensor:
            return y.view(B, T, self.n_head, D).transpose(1, 2)  # (B, H, T, D)

        query, key, value = (heads(y) for y in self.c_attn(x).split(C, dim=2))
        scores = query @ key.transpose(2, 3) / math.sqrt(D)  # (B, H, T, T)
        future = torch.triu(torch.ones(T, T, dtype=torch.bool), diagonal=1)
        weights = scores.masked_fill(future, -math.inf).softmax(dim=3)
        gathered = (weights @ value).transpose(1, 2).reshape(B, T, C)
        output: Tensor = self.c_proj(gathered)
        return output


class FeedForward(nn.Module):
    """Transform each token by itself."""

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(n_embd, 4 * n_embd)
        self.c_proj = nn.Linear(4 * n_embd, n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, T, C), in the same shape."""
        output: Tensor = self.c_proj(gelu(self.c_fc(x)))
        return output


class GPT2Block(nn.Module):
    """Add attention and feed-forward to the stream; both read a normalized copy."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(n_embd)
        self.attn = GPT2Attention(n_embd, n_head)
        self.ln_2 = LayerNorm(n_embd)
        self.mlp = FeedForward(n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream (B, T, C) behind this layer, given the stream before it."""
        x = x + self.attn(self.ln_1(x))
        output: Tensor = x + self.mlp(self.ln_2(x))
        return output


class GPT2(nn.Module):
    """Score every possible next token, given token ids."""

    def __init__(
        self, vocab_size: int, context_length: int, n_layer: int, n_head: int, n_embd: int
    ) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab_size, n_embd)  # what a token means
        self.wpe = nn.Embedding(context_length, n_embd)  # its position
        self.h = nn.ModuleList(GPT2Block(n_embd, n_head) for _ in range(n_layer))
        self.ln_f = LayerNorm(n_embd)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * n_layer))
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (B, T, V) of the token after each of ids (B, T)."""
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))  # (B, T, C)
        for block in self.h:
            x = block(x)
        logits: Tensor = self.ln_f(x) @ self.wte.weight.T  # (B, T, V)
        return logits

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of targets after ids, both (B, T): nats a token."""
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())
