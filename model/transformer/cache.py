"""Keys and values of documents that grow, and the attention of what is appended to them.

Every row is as long as its own document, so new positions attend to whole slices of the cache: there is
neither padding nor a mask, and a row's arithmetic does not depend on the rows beside it.

Shapes: R rows of the cache, B rows that grow, Q new positions of a row, T positions of a pack or of all rows
that grow, S positions so far, L layers, H heads, G key and value heads, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.transformer.attention import Attend, PackedAttention, dot_product_attention
from model.transformer.config import TransformerConfig
from model.transformer.layout import PackedBatch


class KeyValueCache:
    """Room for `capacity` positions in each of R rows."""

    def __init__(self, config: TransformerConfig, rows: int, capacity: int, like: Tensor) -> None:
        shape = (config.layers, rows, capacity, config.kv_heads, config.head_width)
        self.keys_LRSGD = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.values_LRSGD = torch.empty_like(self.keys_LRSGD)
        self.lengths = [0] * rows

    def read(self, rows: Sequence[int], batch: PackedBatch) -> Attend:
        """Attention of packed documents, which become the content of empty rows: document i of `rows[i]`."""
        for row, (start, stop) in zip(rows, batch.spans, strict=True):
            self.lengths[row] = stop - start
        return _Reading(self, rows, batch)

    def extend(self, rows: Sequence[int], count: int) -> Attend:
        """Attention of `count` new positions of each row, which see their whole row and one another."""
        runs = self._runs(rows)
        for row in rows:
            self.lengths[row] += count
        return _Extending(self, runs, count)

    def clear(self, rows: Sequence[int]) -> None:
        """Forget what rows hold."""
        for row in rows:
            self.lengths[row] = 0

    def _runs(self, rows: Sequence[int]) -> list[_Run]:
        """Neighbouring rows of one length go together."""
        runs: list[_Run] = []
        for row in rows:
            last = runs[-1] if runs else None
            if last and last.row + last.count == row and last.length == self.lengths[row]:
                runs[-1] = _Run(last.row, last.count + 1, last.length)
            else:
                runs.append(_Run(row, 1, self.lengths[row]))
        return runs


@dataclass(frozen=True)
class _Run:
    """Rows `row` to `row + count - 1`, each with `length` positions so far."""

    row: int
    count: int
    length: int


class _Reading:
    def __init__(self, cache: KeyValueCache, rows: Sequence[int], batch: PackedBatch) -> None:
        self._cache, self._rows, self._spans = cache, rows, batch.spans
        self._attend = PackedAttention(batch)

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        """[T, heads, D] -> [T, H, D]."""
        for row, (start, stop) in zip(self._rows, self._spans, strict=True):
            self._cache.keys_LRSGD[layer, row, : stop - start] = keys[start:stop]
            self._cache.values_LRSGD[layer, row, : stop - start] = values[start:stop]
        return self._attend(layer, queries, keys, values)


class _Extending:
    def __init__(self, cache: KeyValueCache, runs: Sequence[_Run], count: int) -> None:
        self._cache, self._runs, self._count = cache, runs, count

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        """[T, heads, D] -> [T, H, D]."""
        by_row = (x.view(-1, self._count, *x.shape[1:]) for x in (queries, keys, values))
        pieces = (torch.split(x, [run.count for run in self._runs]) for x in by_row)
        mixed = [self._attend(layer, run, *piece) for run, *piece in zip(self._runs, *pieces, strict=True)]
        return torch.cat(mixed).flatten(0, 1)

    def _attend(self, layer: int, run: _Run, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """[B, Q, heads, D] -> [B, Q, H, D]."""
        stop = run.length + queries.shape[1]
        rows = slice(run.row, run.row + run.count)
        self._cache.keys_LRSGD[layer, rows, run.length : stop] = keys
        self._cache.values_LRSGD[layer, rows, run.length : stop] = values
        return dot_product_attention(
            queries,
            self._cache.keys_LRSGD[layer, rows, :stop],
            self._cache.values_LRSGD[layer, rows, :stop],
            None,
        )
