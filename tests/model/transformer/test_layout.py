from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from documents import CODES, CONFIG, MODES, SINGLE, SMALL, TEXTS, WIDE, documents, image, text
from hypothesis import given
from hypothesis import strategies as st

from model.scales import ScaleSchedule, table14
from model.transformer.config import ContextMode, TransformerConfig
from model.transformer.layout import (
    BLOCK_INPUT,
    IGNORED,
    PADDING,
    ImagePart,
    Part,
    TextPart,
    allowed,
    pack,
    position_count,
    scale_weights,
)

BOI, EOI, END = CONFIG.boi, CONFIG.eoi, CONFIG.end_id


def test_a_document_laid_out() -> None:
    codes = np.arange(14)
    document = [TextPart([5, 6]), ImagePart(SMALL, codes, codes + 5), TextPart([7])]
    batch = pack([document], CONFIG, length=20)
    assert batch.tokens_T.tolist() == [5, 6, BOI, *[BLOCK_INPUT] * 13, EOI, 7, END, END]
    assert batch.document_T.tolist() == [0] * 18 + [PADDING] * 2
    assert batch.step_T[:18].tolist() == [0, 1, 2, *[3] * 4, *[4] * 9, 5, 6]
    assert batch.scale_T.tolist() == [0, 0, 1, *[2] * 4, *[3] * 9, 0, 0, 0, 0]
    # Text looks one ahead; <boi> and the blocks predict their own codes; <eoi> is never a target.
    codes_targets = [TEXTS + code for code in range(5, 19)]
    assert batch.targets_T.tolist() == [6, BOI, *codes_targets, 7, END, IGNORED, IGNORED]
    assert batch.weights_T.tolist() == [1.0] * 18 + [0.0] * 2
    assert batch.spans == ((0, 18),)


def test_positions_of_a_document() -> None:
    batch = pack([[text(2), image(SMALL), text(1)]], CONFIG)
    cell = 64 / 3
    assert batch.positions_T3[:3].tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert batch.positions_T3[3:7].tolist() == [[4, 16, 16], [4, 16, 48], [4, 48, 16], [4, 48, 48]]
    assert torch.allclose(batch.positions_T3[8], torch.tensor([5, 0.5 * cell, 1.5 * cell]))
    # K = 3: <eoi> comes at t_boi + K + 1, the next text one later.
    assert batch.positions_T3[-2:].tolist() == [[6, 6, 6], [7, 7, 7]]


def test_an_image_that_is_read_shows_every_scale_on_its_own_grid() -> None:
    config = replace(CONFIG, context_mode="native")
    batch = pack([[text(2), image(SMALL, loss=False), text(1)]], config)
    assert batch.tokens_T[2:].tolist()[:-1] == [BOI, *[BLOCK_INPUT] * 14, EOI]
    assert batch.step_T.tolist() == [0, 1, 2, 3, *[4] * 4, *[5] * 9, 6, 7]
    assert batch.positions_T3[2:5].tolist() == [[2, 2, 2], [3, 32, 32], [4, 16, 16]]
    # The time of what follows does not depend on how an image is fed.
    assert batch.positions_T3[-2:].tolist() == [[6, 6, 6], [7, 7, 7]]
    assert not batch.scale_T.any()


def test_an_image_that_is_read_can_be_its_last_grid_alone() -> None:
    config = replace(CONFIG, context_mode="final")
    batch = pack([[text(2), image(SMALL, loss=False), text(1)]], config)
    assert batch.tokens_T[2:].tolist()[:-1] == [BOI, *[BLOCK_INPUT] * 9, EOI]
    assert batch.step_T.tolist() == [0, 1, 2, *[3] * 9, 4, 5]
    cell = 64 / 3
    assert torch.allclose(batch.positions_T3[4], torch.tensor([5, 0.5 * cell, 1.5 * cell]))
    assert batch.positions_T3[-2:].tolist() == [[6, 6, 6], [7, 7, 7]]


def test_an_image_that_is_predicted_is_laid_out_the_same_in_every_mode() -> None:
    batches = [pack([[text(2), image(SMALL), text(1)]], config) for config in MODES]
    for batch in batches[1:]:
        assert torch.equal(batch.tokens_T, batches[0].tokens_T)
        assert torch.equal(batch.positions_T3, batches[0].positions_T3)


@pytest.mark.parametrize(
    ("text_loss", "image_loss", "supervised"),
    [(True, True, 1 + 1 + 14 + 1), (False, True, 1 + 14 + 1), (True, False, 1), (False, False, 0)],
)
def test_only_parts_with_loss_are_predicted(text_loss: bool, image_loss: bool, supervised: int) -> None:
    # Text of 2: one token is predicted by the other. An image: <boi>, 14 codes, and the end after it.
    batch = pack([[text(2, loss=text_loss), image(loss=image_loss)]], CONFIG)
    assert int((batch.targets_T != IGNORED).sum()) == supervised
    assert bool(((batch.weights_T > 0) == (batch.targets_T != IGNORED)).all())


def test_text_after_a_question_is_predicted_from_its_last_token() -> None:
    batch = pack([[text(3, loss=False), TextPart([9, 8])]], CONFIG)
    assert batch.targets_T.tolist() == [IGNORED, IGNORED, 9, 8, END]


def _blocks(part: Part, mode: ContextMode) -> list[int]:
    """Sizes of the sets of positions of a part that see one another."""
    if isinstance(part, TextPart):
        return [1] * len(part.ids)
    lengths = part.schedule.lengths
    if part.loss or mode == "shifted":
        return [*lengths, 1]
    return [1, *lengths, 1] if mode == "native" else [1, lengths[-1], 1]


def _may_see(document: list[Part], mode: ContextMode, query: int, key: int) -> bool:
    """The rule as design states it: earlier positions, and one's own block."""
    blocks: list[int] = []
    for part in document:
        blocks += [len(blocks) + i for i, n in enumerate(_blocks(part, mode)) for _ in range(n)]
    return key <= query or blocks[key] == blocks[query]


@given(documents(), st.integers(0, 3), st.sampled_from(MODES))
def test_the_mask_rule(found: list[list[Part]], padding: int, config: TransformerConfig) -> None:
    counts = [sum(sum(_blocks(part, config.context_mode)) for part in document) for document in found]
    assert counts == [position_count(document, config.context_mode) for document in found]
    length = sum(counts) + padding
    batch = pack(found, config, length)
    mask = allowed(batch.document_T, batch.step_T)
    starts = np.cumsum([0, *counts])
    expected = torch.zeros(length, length, dtype=torch.bool)
    for document, start, count in zip(found, starts, counts, strict=False):
        for query in range(count):
            for key in range(count):
                expected[start + query, start + key] = _may_see(document, config.context_mode, query, key)
    real = int(starts[-1])
    assert torch.equal(mask[:real], expected[:real])


@given(documents(), st.sampled_from(MODES))
def test_a_layout_gives_its_documents_back(found: list[list[Part]], config: TransformerConfig) -> None:
    batch = pack(found, config)
    inputs = {int(a): g.inputs_IN[i] for g in batch.images for i, a in enumerate(g.places_IM[:, 0])}
    at = 0
    for part in (part for document in found for part in document):
        if isinstance(part, TextPart):
            assert batch.tokens_T[at : at + len(part.ids)].tolist() == list(part.ids)
        else:
            assert inputs[at].tolist() == part.inputs.tolist()
            if part.loss:
                targets = batch.targets_T[at : at + part.schedule.tokens] - TEXTS
                assert targets.tolist() == part.targets.tolist()
        at += position_count([part], config.context_mode)
    assert at == len(batch.tokens_T)


@given(
    st.sampled_from([SMALL, WIDE, SINGLE, *table14(18)[::10]]),
    st.floats(0, 2, allow_nan=False),
)
def test_scale_weights_keep_the_total(schedule: ScaleSchedule, alpha: float) -> None:
    weights, lengths = scale_weights(schedule, alpha), np.array(schedule.lengths)
    assert (weights * lengths).sum() == pytest.approx(schedule.tokens)
    # Eq. 2: weights go as 1 / (h w)^alpha.
    assert weights / weights[0] == pytest.approx(lengths**-alpha)


def test_scale_weights_reach_the_batch() -> None:
    batch = pack([[text(2), image(SMALL)]], CONFIG, alpha=0.9)
    vision = batch.weights_T[batch.scale_T > 0]
    assert vision.tolist() == pytest.approx(np.repeat(scale_weights(SMALL, 0.9), SMALL.lengths))
    assert batch.weights_T[batch.scale_T == 0].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("document", "length", "message"),
    [
        ([text(5)], 4, "5 positions"),
        ([text(0)], 4, "0 positions"),
        ([TextPart([TEXTS])], None, "text ids"),
        ([ImagePart(SINGLE, np.array([0]), np.array([CODES]))], None, "target codes"),
        ([ImagePart(SINGLE, np.array([-1]), np.array([0]))], None, "input codes"),
    ],
)
def test_what_does_not_fit_is_refused(document: list[Part], length: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack([document], CONFIG, length)


def test_an_image_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule"):
        ImagePart(SMALL, np.zeros(14, int), np.zeros(13, int))


def test_more_scales_than_embeddings_are_refused() -> None:
    with pytest.raises(ValueError, match="3 scales, over 2"):
        pack([[image(SMALL)]], replace(CONFIG, max_scales=2))
