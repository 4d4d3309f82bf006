"""The loop as a plain function: it learns, and interrupted anywhere it ends at the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Output, read_table
from jobs.specs import TrainSettings
from jobs.train.checkpoints import Checkpoints
from jobs.train.publish import UNIT
from jobs.train.task import start_model, task_of
from jobs.train.worker import train
from jobs.train.world import alone

Spec = JobSpec[TrainSettings]


class KilledError(Exception):
    """Stands for the end of the process: nothing after it runs."""


def run_to(spec: Spec, kill_at: int | None = None) -> UserError | None:
    def tell(done: int, steps: int, figures: dict[str, float]) -> None:
        if done == kill_at:
            raise KilledError

    with alone(tell) as world:
        return train(world, task_of(spec))


def published(spec: Spec) -> dict[str, bytes]:
    files = Output(spec.output).receipts()[UNIT].files
    return {f.path: (Path(spec.output) / f.path).read_bytes() for f in files}


def test_what_a_process_trained_before_changes_nothing(make_spec: Any) -> None:
    before, after = make_spec("before", steps=2), make_spec("after", steps=2)
    for spec in (before, make_spec("between", steps=1, zero_stage=3), after):
        run_to(spec)
    assert published(before) == published(after)


@pytest.mark.chaos
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_a_killed_run_ends_at_the_same_bytes(make_spec: Any, zero_stage: int) -> None:
    whole, killed = make_spec("whole", zero_stage=zero_stage), make_spec("killed", zero_stage=zero_stage)
    run_to(whole)
    for kill_at in (3, 5):
        with pytest.raises(KilledError):
            run_to(killed, kill_at)
    run_to(killed)
    assert published(killed) == published(whole)


def test_gradient_checkpointing_changes_memory_and_not_what_is_learnt(make_spec: Any) -> None:
    kept, repeated = make_spec("kept", steps=2), make_spec("repeated", steps=2, gradient_checkpointing=True)
    for spec in (kept, repeated):
        run_to(spec)
    weights, other = (load_file(f"{s.output}/model/model.safetensors") for s in (kept, repeated))
    for name, value in weights.items():
        torch.testing.assert_close(value, other[name], atol=1e-6, rtol=1e-5)


def test_other_seeds_give_other_weights(make_spec: Any) -> None:
    """A negative control: equal bytes are no accident of what is compared."""
    spec = make_spec("a", steps=1)
    other = make_spec("b", steps=1).model_copy(update={"seed": 4})
    run_to(spec)
    run_to(other)
    assert published(spec)["model/model.safetensors"] != published(other)["model/model.safetensors"]


def test_training_learns_the_packs(make_spec: Any) -> None:
    spec = make_spec("run", steps=25, learning_rate=5e-3, packs_per_step=4, caption_dropout=0.0)
    run_to(spec)
    losses = read_table(f"{spec.output}/data/metrics.parquet")["loss"].to_pylist()
    assert len(losses) == 25
    assert losses[-1] < 0.7 * losses[0]


def test_metrics_name_text_and_every_scale(make_spec: Any) -> None:
    spec = make_spec("run", steps=1)
    run_to(spec)
    row = read_table(f"{spec.output}/data/metrics.parquet").to_pylist()[0]
    assert {"loss", "loss/text", "loss/scale_1", "loss/scale_2", "loss/scale_3"} <= row.keys()
    assert row["step"] == 1
    assert row["weight"] == sum(v for k, v in row.items() if k.startswith("tokens/"))


def test_alignment_trains_only_what_images_brought(make_spec: Any) -> None:
    spec = make_spec("run", steps=2, trainable="new")
    before = {name: p.clone() for name, p in start_model(task_of(spec)).named_parameters()}
    run_to(spec)
    after = load_file(f"{spec.output}/model/model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("visual") for name in changed)


def test_a_stage_starts_from_the_one_before(make_spec: Any, commit_training: Any) -> None:
    first = make_spec("first", steps=2)
    run_to(first)
    commit_training(first)
    second = start_model(task_of(make_spec("second", previous=first.output)))
    trained = load_file(f"{first.output}/model/model.safetensors")
    assert all(torch.equal(p, trained[name]) for name, p in second.named_parameters())


def test_a_loss_that_is_not_finite_stops_with_step_and_packs(make_spec: Any) -> None:
    spec = make_spec("run", learning_rate=1e30, warmup_steps=0, packs_per_step=1)
    problem = run_to(spec)
    assert isinstance(problem, UserError)
    assert "not finite at step 2, packs " in str(problem)
    assert not Output(spec.output).receipts()


def test_a_checkpoint_of_another_layout_is_refused(make_spec: Any) -> None:
    spec = make_spec("run")
    with pytest.raises(KilledError):
        run_to(spec, 3)
    with alone(lambda *_: None) as world:
        wider = Checkpoints(f"{spec.output}/checkpoints", world, {"workers": 4})
        with pytest.raises(UserError, match=r"written with workers = 1, the recipe says 4"):
            wider.load(2, 0)


def test_an_unfinished_checkpoint_does_not_count(make_spec: Any) -> None:
    spec = make_spec("run", steps=9)
    with pytest.raises(KilledError):
        run_to(spec, 7)
    folder = Path(spec.output) / "checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == ["step-00000004", "step-00000006"]
    (folder / "step-00000006" / "finished.json").unlink()
    with alone(lambda *_: None) as world:
        assert Checkpoints(str(folder), world, {}).steps() == [4]


def test_an_unknown_preset_is_one_line(make_spec: Any) -> None:
    spec = make_spec("run")
    model = spec.settings.model.model_copy(update={"preset": "huge"})
    settings = spec.settings.model_copy(update={"model": model})
    with pytest.raises(UserError, match="no transformer preset 'huge'"):
        run_to(spec.model_copy(update={"settings": settings}))
