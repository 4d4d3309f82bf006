"""The nearest codes of many vectors, block by block: distances to the whole codebook are never stored.

`argmin |z - e|^2` is `argmax z.e - |e|^2 / 2`, so with weights folded into the rows one matrix product ranks
both halves of a code at once.

Shapes: M vectors, m vectors of a block, C codebook width, K = C + 1, V codebook rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK_BYTES = {"cpu": 16 * 2**20, "cuda": 64 * 2**20}
"""Scores held at a time, by type of device; on a CPU they should stay in its cache."""


def ranking_rows(codebook_VC: Tensor, weights_C: Tensor) -> Tensor:
    """Rows [V, K] whose product with [vector, 1] ranks codes by weighted squared distance, nearest first."""
    weighted_VC = codebook_VC * weights_C
    offsets_V1 = -0.5 * (weighted_VC * codebook_VC).sum(dim=1, keepdim=True)
    return torch.cat([weighted_VC, offsets_V1], dim=1)


@torch.no_grad()
def nearest_codes(
    vectors_MC: Tensor, rows_VK: Tensor, ranks_M: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Indices [M] of the nearest codes, and of those of a given rank.

    Args:
        vectors_MC: vectors.
        rows_VK: of `ranking_rows`.
        ranks_M: 0 for the nearest code, 1 for the second nearest, and so on; None takes the nearest.
    """
    nearest_M = torch.empty(len(vectors_MC), dtype=torch.int64, device=vectors_MC.device)
    chosen_M = nearest_M if ranks_M is None else torch.empty_like(nearest_M)
    ones_M1 = vectors_MC.new_ones(len(vectors_MC), 1)
    columns_KV = rows_VK.T.contiguous()
    size = _block_size(vectors_MC, len(rows_VK))
    scores_mV = vectors_MC.new_empty(min(size, len(vectors_MC)), len(rows_VK))
    for start in range(0, len(vectors_MC), size):
        block = slice(start, start + size)
        extended_mK = torch.cat([vectors_MC[block], ones_M1[block]], dim=1)
        block_mV = torch.mm(extended_mK, columns_KV, out=scores_mV[: len(extended_mK)])
        torch.argmax(block_mV, dim=1, out=nearest_M[block])
        if ranks_M is not None:
            chosen_M[block] = _of_rank(block_mV, nearest_M[block], ranks_M[block])
    return nearest_M, chosen_M


def _of_rank(scores_mV: Tensor, nearest_m: Tensor, ranks_m: Tensor) -> Tensor:
    """The codes of each vector's rank; only vectors that do not take the nearest are ranked further."""
    places_j = ranks_m.nonzero()[:, 0]
    if not len(places_j):
        return nearest_m
    wanted_j = ranks_m[places_j]
    ranked_jk = scores_mV[places_j].topk(int(wanted_j.max()) + 1, dim=1).indices
    return nearest_m.scatter(0, places_j, ranked_jk.gather(1, wanted_j[:, None])[:, 0])


def _block_size(vectors_MC: Tensor, codes: int) -> int:
    bytes_ = BLOCK_BYTES.get(vectors_MC.device.type, BLOCK_BYTES["cuda"])
    return max(1, bytes_ // (codes * vectors_MC.element_size()))
