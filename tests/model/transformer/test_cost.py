from __future__ import annotations

import pytest
from documents import CONFIG, MODES, documents
from hypothesis import given
from hypothesis import strategies as st

from model.transformer.config import TransformerConfig
from model.transformer.cost import allowed_pairs, document_flops, flops_per_pair, flops_per_position
from model.transformer.layout import PADDING, Part, allowed, pack, position_count


@given(documents(), st.sampled_from(MODES))
def test_pairs_are_those_of_the_mask(found: list[list[Part]], config: TransformerConfig) -> None:
    batch = pack(found, config)
    mask = allowed(batch.document_T, batch.step_T) & (batch.document_T != PADDING)
    assert sum(allowed_pairs(document, config.context_mode) for document in found) == int(mask.sum())


@given(documents())
def test_cost_counts_positions_and_pairs(found: list[list[Part]]) -> None:
    for document in found:
        attention = document_flops(document, CONFIG, eta=3) - document_flops(document, CONFIG, eta=2)
        assert attention == pytest.approx(
            flops_per_pair(CONFIG) * allowed_pairs(document, CONFIG.context_mode)
        )
        rest = document_flops(document, CONFIG, eta=0)
        assert rest == pytest.approx(
            flops_per_position(CONFIG) * position_count(document, CONFIG.context_mode)
        )


def test_figures_of_the_7b_preset() -> None:
    config = TransformerConfig.preset(
        "7b", text_vocabulary=151936, codebook_size=32768, codebook_width=40, end_id=151643
    )
    assert flops_per_position(config) == pytest.approx(14.4e9, rel=0.005)
    assert flops_per_pair(config) == pytest.approx(401e3, rel=0.005)
