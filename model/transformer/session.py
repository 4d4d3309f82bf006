"""Documents under way: contexts are read once, then text and images are appended over one cache.

Every call is one forward pass. A document may stand in several rows that know different parts of it, as
guidance asks.

Shapes: R rows, B rows of a call, Q positions of a row, T positions of all of them, N codes so far, V codes,
E hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.transformer.attention import Attend
from model.transformer.cache import KeyValueCache
from model.transformer.layout import Part, duration, pack
from model.transformer.model import NextScaleTransformer
from model.transformer.positions import Positions, grid_positions, rotations, text_positions


class Session:
    """Rows of a cache, each with the time that its document has come to."""

    def __init__(self, model: NextScaleTransformer, rows: int, capacity: int) -> None:
        self.model = model
        weight = model.visual_head.weight
        self.device, self.dtype = weight.device, weight.dtype
        self._cache = KeyValueCache(model.config, rows, capacity, weight)
        self._times = [0] * rows

    def read(self, rows: Sequence[int], contexts: Sequence[Sequence[Part]]) -> Tensor:
        """Start rows with contexts, each of at least one position; their last hidden states: [B, E]."""
        batch = pack(contexts, self.model.config).to(self.device)
        for row, parts in zip(rows, contexts, strict=True):
            self._times[row] = sum(duration(part) for part in parts)
        inputs_TE = self.model.embed(batch).to(self.dtype)
        rotation = rotations(batch.positions_T3, self.model.config)
        hidden_TE: Tensor = self.model.model(inputs_TE, rotation, self._cache.read(rows, batch))
        return hidden_TE[[stop - 1 for _, stop in batch.spans]]

    def clear(self, rows: Sequence[int]) -> None:
        """Begin again with empty documents."""
        self._cache.clear(rows)
        for row in rows:
            self._times[row] = 0

    def append_text(self, rows: Sequence[int], ids: Sequence[int]) -> Tensor:
        """One text id for each row; hidden states [B, E]."""
        inputs_BQE = self.model.model.embed_tokens(torch.tensor(ids, device=self.device)[:, None])
        return self._append_token(rows, inputs_BQE)

    def scale_logits(
        self, rows: Sequence[int], codes_BN: Tensor, schedule: ScaleSchedule, scale: int
    ) -> Tensor:
        """Logits of the codes of a scale, given those of coarser scales: [B, L, V]. Call in order."""
        inputs_BQE = self.model.visual.block(codes_BN, schedule, scale)
        hidden_BQE = self._extend(rows, inputs_BQE, self._block_positions(rows, schedule, scale))
        return self.model.code_logits(hidden_BQE)

    def end_image(self, rows: Sequence[int], schedule: ScaleSchedule) -> Tensor:
        """`<eoi>`, after all scales; hidden states [B, E]."""
        for row in rows:
            self._times[row] += len(schedule.grids) + 1
        nothing = torch.empty(len(rows), 0, dtype=torch.int64, device=self.device)
        return self._append_token(rows, self.model.visual.eoi(nothing))

    def _append_token(self, rows: Sequence[int], inputs_BQE: Tensor) -> Tensor:
        positions = [text_positions(self._times[row], 1) for row in rows]
        for row in rows:
            self._times[row] += 1
        return self._extend(rows, inputs_BQE, positions)[:, -1]

    def _block_positions(self, rows: Sequence[int], schedule: ScaleSchedule, scale: int) -> list[Positions]:
        if scale == 1:
            return [text_positions(self._times[row], 1) for row in rows]
        grid = schedule.grids[scale - 1]
        return [grid_positions(*grid, scale, self._times[row], self.model.config) for row in rows]

    def _extend(self, rows: Sequence[int], inputs_BQE: Tensor, positions: Sequence[Positions]) -> Tensor:
        positions_T3 = torch.from_numpy(np.concatenate(positions)).to(self.device)
        rotation = rotations(positions_T3, self.model.config)
        attend: Attend = self._cache.extend(rows, inputs_BQE.shape[1])
        inputs_TE = inputs_BQE.flatten(0, 1).to(self.dtype)
        hidden_TE: Tensor = self.model.model(inputs_TE, rotation, attend)
        return hidden_TE.view_as(inputs_BQE)
