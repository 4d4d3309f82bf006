"""The engine's state: what a step learnt can be taken back, however the engine shards what it holds."""

from __future__ import annotations

import pytest
from documents import image, make_model, text

from jobs.train.engine import Engine, original_linear
from jobs.train.world import alone
from model.transformer.layout import PackedBatch, pack
from model.transformer.model import NextScaleTransformer


def learn(engine: Engine, batch: PackedBatch) -> float:
    """One update; the loss before it."""
    engine.set_learning_rate(1e-2)
    return float(engine.forward_backward(batch, float(batch.weights_T.sum())).loss_sum.detach())


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_a_restored_engine_learns_the_same_again(zero_stage: int) -> None:
    """Also where it has learnt something else since."""
    model: NextScaleTransformer = make_model().train()
    batch = pack([[text(5), image()]], model.config)
    with alone(lambda *_: None) as world, original_linear():
        engine = Engine(model, world, zero_stage, weight_decay=0.1, batches=1)
        learn(engine, batch)
        state = engine.state()
        first = [learn(engine, batch) for _ in range(3)]
        engine.restore(state)
        again = [learn(engine, batch) for _ in range(3)]
    assert first == again
    assert first[0] > first[1] > first[2]
