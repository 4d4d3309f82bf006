"""The transformer: text and image inputs, the decoder, and one output head over text and codes.

Shapes: T positions of a pack, P supervised positions, I images, N tokens of an image, V codes,
C width of a code's row, E hidden width.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from model.transformer.attention import pack_attention
from model.transformer.checkpoint import MAX_FILE_BYTES, load_weights, save_model
from model.transformer.config import TransformerConfig
from model.transformer.decoder import Decoder
from model.transformer.layout import IGNORED, PackedBatch
from model.transformer.loss import LossReport, OutputHead, weighted_loss
from model.transformer.positions import rotations
from model.transformer.visual import VisualEmbedding

_INITIAL_STD = 0.02
_EMBEDDING_STD = 0.5  # of untrained embeddings: smaller ones drown beside images' features of unit size
_CODE_ROW_LENGTH = 1.0


class NextScaleTransformer(nn.Module):
    """Text rows and layers (`model.*`, `lm_head`) are a Qwen2.5 decoder; `visual*` is what images bring.

    The output head is `lm_head` (text) followed by `visual_head` (codes, `<boi>`, `<eoi>`).
    """

    def __init__(self, config: TransformerConfig, text_device: str | None = None) -> None:
        """`text_device="meta"` gives the text's weights no memory yet, where they come from a file."""
        super().__init__()
        self.config = config
        with torch.device(text_device) if text_device else nullcontext():
            self.model = Decoder(config)
            self.lm_head = OutputHead(config.hidden, config.text_vocabulary)
        self.visual = VisualEmbedding(config)
        self.visual_head = OutputHead(config.hidden, config.codebook_size + 2)
        self.apply(_initialise)
        self.visual.reset_parameters()
        self.tie_weights()

    def tie_weights(self) -> None:
        """Make the text rows of input and output one parameter, if the configuration says so."""
        if self.config.tie_embeddings:
            self.model.embed_tokens.weight = self.lm_head.weight

    def forward(self, batch: PackedBatch) -> LossReport:
        """The loss of a pack. Logits exist at supervised positions only, some of them at a time."""
        hidden_TE = self.hidden(batch)
        supervised = (batch.targets_T != IGNORED).nonzero().squeeze(1)
        return weighted_loss(
            hidden_TE[supervised],
            batch.targets_T[supervised],
            batch.weights_T[supervised],
            batch.scale_T[supervised],
            heads=(self.lm_head, self.visual_head),
            scales=self.config.max_scales,
        )

    def hidden(self, batch: PackedBatch) -> Tensor:
        """Last hidden states of a pack: [T, E]."""
        rotation = rotations(batch.positions_T3, self.config)
        hidden_TE: Tensor = self.model(self.embed(batch), rotation, pack_attention(batch))
        return hidden_TE

    def embed(self, batch: PackedBatch) -> Tensor:
        """Input embeddings of a pack: text rows, with the images' inputs laid over them: [T, E]."""
        is_text = (batch.tokens_T >= 0) & (batch.tokens_T < self.config.text_vocabulary)
        x_TE: Tensor = self.model.embed_tokens(batch.tokens_T.where(is_text, self.config.end_id))
        images_PE = self.visual(batch.images)
        places = [group.places_IM.flatten() for group in batch.images]
        places_P = torch.cat([batch.tokens_T[:0], *places])
        return x_TE.index_copy(0, places_P, images_PE.to(x_TE.dtype))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits over the unified vocabulary: [..., E] -> [..., text + V + 2]."""
        return torch.cat([self.lm_head(hidden), self.visual_head(hidden)], dim=-1)

    def code_logits(self, hidden: Tensor) -> Tensor:
        """Logits over the codes alone, all that a block may emit: [..., E] -> [..., V]."""
        logits: Tensor = nn.functional.linear(hidden, self.visual_head.weight[: self.config.codebook_size])
        return logits

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Logits over what may follow text: text ids, then `<boi>`: [..., E] -> [..., text + 1]."""
        boi = self.visual_head.weight[self.config.codebook_size : self.config.codebook_size + 1]
        return torch.cat([self.lm_head(hidden), nn.functional.linear(hidden, boi)], dim=-1)

    @torch.no_grad()
    def set_codebook(self, codebook_VC: Tensor, row_length: float = _CODE_ROW_LENGTH) -> None:
        """Start the visual embeddings from the tokenizer's codebook, and the head's new rows, too.

        A code's row of the head is the mean text row plus a fixed random projection of the code's row of the
        codebook: codes that look alike start with logits alike, so what is learned of one serves the others.
        `row_length` is the length of the projection.
        """
        self.visual.codebook.weight.copy_(codebook_VC)
        generator = torch.Generator().manual_seed(0)
        projection_CE = torch.randn(codebook_VC.shape[1], self.config.hidden, generator=generator)
        rows_VE = nn.functional.normalize(codebook_VC.cpu() @ projection_CE, dim=1) * row_length
        markers_2E = torch.randn(2, self.config.hidden, generator=generator) * (_INITIAL_STD * row_length)
        rows = torch.cat([rows_VE, markers_2E]).to(self.visual_head.weight)
        self.visual_head.weight.copy_(self.lm_head.weight.mean(0) + rows)

    def new_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that images brought: what the alignment stage trains."""
        return {name: p for name, p in self.named_parameters() if name.startswith("visual")}

    def save_pretrained(self, folder: Path | str, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Write `model.safetensors`, or several files beyond `max_file_bytes`, and last `config.json`."""
        save_model(self, self.config, Path(folder), max_file_bytes)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """Read a folder that `save_pretrained` wrote.

        Raises:
            ValueError: the configuration or the weights do not fit this code.
        """
        model = cls(TransformerConfig.load(Path(folder)))
        load_weights(model, Path(folder))
        return model


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=_INITIAL_STD)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=_EMBEDDING_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
