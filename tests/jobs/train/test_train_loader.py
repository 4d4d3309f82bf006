"""Packs become batches: every document in its place, captions dropped by a rule that never changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.errors import UserError
from jobs.readers import PackReader
from jobs.train.loader import Batching, PackLoader, drop_chance, to_parts
from jobs.train.order import PackOrder
from model.transformer.config import TransformerConfig
from model.transformer.layout import ImagePart, PackedBatch, TextPart

CONFIG = TransformerConfig.preset("tiny", text_vocabulary=8192, codebook_size=64, codebook_width=40, end_id=0)


def loader(folder: str, dropout: float = 0.5, length: int | None = None, seed: int = 5) -> PackLoader:
    reader = PackReader([folder])
    return PackLoader(reader, PackOrder(len(reader), 2, 1, seed), 0, Batching(CONFIG, dropout, 0.0, length))


def equal(a: PackedBatch, b: PackedBatch) -> bool:
    tensors = [k for k, v in vars(a).items() if isinstance(v, torch.Tensor)]
    return all(torch.equal(getattr(a, k), getattr(b, k)) for k in tensors)


def test_packs_of_all_files_are_read_by_number(packs_folder: str) -> None:
    reader = PackReader([packs_folder])
    assert len(reader) == 7
    ids = [[d.sample_id for d in reader[pack]] for pack in (6, 0, 4, 2)]
    assert ids == [[60], [0], [40, 41], [20, 21, 22]]


def test_documents_keep_their_ids_and_codes(packs_folder: str) -> None:
    reader = PackReader([packs_folder])
    document = reader[2][1]
    text, image = to_parts(document, reader.schedules())
    assert isinstance(text, TextPart)
    assert isinstance(image, ImagePart)
    np.testing.assert_array_equal(text.ids, document.segments[0].ids)
    np.testing.assert_array_equal(image.targets, document.segments[1].targets)
    np.testing.assert_array_equal(image.inputs, document.segments[1].inputs)
    assert image.schedule.tokens == 14


def test_dropping_a_caption_leaves_the_picture(packs_folder: str) -> None:
    reader = PackReader([packs_folder])
    document = reader[0][0]
    parts = to_parts(document, reader.schedules(), drop=True)
    assert [type(part) for part in parts] == [ImagePart]
    assert [part.schedule.tokens for part in parts if isinstance(part, ImagePart)] == [14]


def test_the_share_of_dropped_captions_is_the_rate() -> None:
    chances = np.array([drop_chance(1, 0, i) for i in range(4000)])
    assert abs((chances < 0.1).mean() - 0.1) < 0.02
    again = np.array([drop_chance(1, 1, i) for i in range(4000)])
    assert abs(np.corrcoef(chances, again)[0, 1]) < 0.1  # other captions in the next epoch


def test_a_fresh_loader_reads_the_same_batches_from_any_step(packs_folder: str) -> None:
    straight = loader(packs_folder)
    read = [straight.batches(step) for step in range(8)]
    for step in (5, 2, 7):
        resumed = loader(packs_folder).batches(step)
        assert all(equal(a, b) for a, b in zip(read[step], resumed, strict=True))


def test_another_seed_reads_otherwise(packs_folder: str) -> None:
    a, b = loader(packs_folder, seed=5), loader(packs_folder, seed=6)
    assert [a.packs(s) for s in range(4)] != [b.packs(s) for s in range(4)]


def test_batches_are_padded_to_a_length_where_one_is_given(packs_folder: str) -> None:
    assert {len(b.tokens_T) for b in loader(packs_folder, length=96).batches(0)} == {96}


def test_a_file_that_is_gone_is_one_line(packs_folder: str, tmp_path: Path) -> None:
    folder = tmp_path / "packs"
    shutil.copytree(packs_folder, folder)
    reader = PackReader([str(folder)])
    (folder / "data" / "packs-00001.parquet").unlink()
    with pytest.raises(UserError, match="no such file"):
        reader[6]
