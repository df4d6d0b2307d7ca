"""A small GPT: a decoder of text, or a classifier of it."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from rheostat.errors import InvalidSpec, Violation
from rheostat.trainer.data.factories import invalid_arg
from rheostat.trainer.data.records import DataDescription

DEVIATION = 0.02
"""Of fresh weights, as in GPT-2 (Radford et al., 2019)."""


def gpt(
    *,
    example: DataDescription,
    layers: int = 4,
    heads: int = 4,
    width: int = 128,
    dropout: float = 0.0,
    tie: bool = True,
) -> nn.Module:
    """Return a decoder in the form of GPT-2: pre-norm blocks, learned positions, GELU.

    It is as long as the data's context. For causal_lm data it gives a score per token and place;
    for classification a score per class, from the place of a text's last token.

    Args:
        example: Gives vocabulary, context and classes.
        layers: Number of blocks.
        heads: Attention heads of each.
        width: Of a token's vector, a multiple of `heads`.
        dropout: Of embeddings, attention and what each half of a block adds.
        tie: Let the table of tokens score them too; only for causal_lm.

    Raises:
        InvalidSpec: the data are no text, or an argument makes no sense.
    """
    if example.text is None:
        expected = f"a model for inputs of shape {example.input_shape}; gpt takes text"
        raise InvalidSpec([Violation("model.name", "gpt", expected)])
    for name, value in (("layers", layers), ("heads", heads)):
        if value < 1:
            raise invalid_arg("model", name, value, "at least 1")
    if width < 1 or width % heads:
        raise invalid_arg("model", "width", width, f"a multiple of heads, which is {heads}")
    if not 0 <= dropout < 1:
        raise invalid_arg("model", "dropout", dropout, "from 0 to below 1")
    return GPT(example, layers, heads, width, dropout, tie)


class GPT(nn.Module):
    """See `gpt`. Tokens (B, T) become (B, vocabulary, T), or (B, classes)."""

    def __init__(
        self,
        example: DataDescription,
        layers: int,
        heads: int,
        width: int,
        dropout: float,
        tie: bool,
    ) -> None:
        super().__init__()
        assert example.text is not None
        self._padding = example.text.padding
        self._is_per_token = example.is_per_token
        self.wte = nn.Embedding(example.text.vocabulary, width)
        self.wpe = nn.Embedding(example.input_shape[0], width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, example.outputs, bias=False)
        self.apply(_initialise)
        for name, weights in self.named_parameters():
            if name.endswith(("attention.project.weight", "mlp.2.weight")):
                # 2 * layers of these add up in the residual stream.
                nn.init.normal_(weights, std=DEVIATION / (2 * layers) ** 0.5)
        if tie and self._is_per_token:
            self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the scores of what comes after each token, or of the class of each text."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.drop(self.wte(tokens) + self.wpe(positions))
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.ln_f(hidden)
        if self._is_per_token:
            # Classes come second, as torch's losses want them.
            scores: Tensor = self.head(hidden).transpose(1, 2)
            return scores
        lasts = (tokens != self._padding).sum(1).sub(1).clamp(min=0)
        ends: Tensor = self.head(hidden[torch.arange(len(tokens), device=tokens.device), lasts])
        return ends


class Block(nn.Module):
    """Attention, then two linear layers, each added to what comes in."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads, dropout)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, T, width) for (B, T, width)."""
        hidden = hidden + self.drop(self.attention(self.ln_1(hidden)))
        added: Tensor = hidden + self.drop(self.mlp(self.ln_2(hidden)))
        return added


class CausalAttention(nn.Module):
    """Attention of each place to itself and those before it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self._heads = heads
        self._dropout = dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, T, width) for (B, T, width)."""
        parts = self.query_key_value(hidden).unflatten(2, (3, self._heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        dropout = self._dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True
        )
        projected: Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return projected


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=DEVIATION)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
