"""ZeRO 3 over two processes, with parameters that are really sharded, learns what one process does.

DeepSpeed keeps parameters of at most 100,000 elements whole, so the model here is small but has larger ones:
both heads, on which the fused loss works, the embeddings beside them and the feed-forward layers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import commit
from torch import Tensor

from infra.job import JobSpec
from infra.manifest import Output, read_table
from jobs.recipe import Model, Packing, Stage
from jobs.specs import TrainSettings
from jobs.train.publish import METRICS, UNIT, publish_folder
from jobs.train.task import start_model, task_of
from jobs.train.worker import train
from jobs.train.world import alone
from model.transformer.config import TransformerConfig
from model.transformer.model import NextScaleTransformer

pytestmark = pytest.mark.chaos  # several trainings in two processes

PROCESSES = 2
DEADLINE_SECONDS = 200
STEPS = 5
WHOLE = 100_000
"""Elements up to which DeepSpeed leaves a parameter whole."""
TOLERANCE = 2e-5
"""Of a weight, which a step may move by 1e-3. Sums are added in another order, and Adam magnifies what that
changes where gradients are next to nothing; 2e-6 was seen."""
CASES: dict[str, tuple[bool, dict[str, Any]]] = {
    "all": (False, {}),
    "new": (False, {"trainable": "new"}),
    "tied": (True, {"gradient_checkpointing": True}),
}
"""Whether text rows are tied, and the stage's settings."""

Spec = JobSpec[TrainSettings]


@dataclass(frozen=True)
class Stages:
    """What two processes trained: every case, and the first again with a kill in between."""

    cases: dict[str, Spec]
    killed: Spec
    notes: list[list[dict[str, Any]]]
    """Of each process: what it noted of each case, of the killed run and of the one that went on."""


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, packs_folder: str) -> Stages:
    folder = tmp_path_factory.mktemp("zero3")
    models = {tied: publish_model(folder / f"before-{tied}", tied) for tied in (False, True)}
    cases = {
        name: make_spec(folder / name, packs_folder, models[tied], **stage)
        for name, (tied, stage) in CASES.items()
    }
    killed = make_spec(folder / "killed", packs_folder, models[False])
    plan = [*((spec, None) for spec in cases.values()), (killed, 3), (killed, None)]
    return Stages(cases, killed, run_processes(folder, plan))


def publish_model(folder: Path, tied: bool) -> str:
    """A model whose vocabularies are larger than those of the packs, so that both heads are sharded."""
    torch.manual_seed(0)
    config = TransformerConfig(
        hidden=64,
        layers=2,
        heads=4,
        kv_heads=2,
        intermediate=1_600,
        text_vocabulary=2_048,
        codebook_size=4_096,
        codebook_width=32,
        end_id=0,
        rope_theta=100.0,
        tie_embeddings=tied,
    )
    NextScaleTransformer(config).save_pretrained(folder / "saved")
    files = publish_folder(Output(str(folder)), f"{folder}/saved", "model")
    return commit(folder, "training/before", files)


def make_spec(output: Path, packs: str, previous: str, **stage: Any) -> Spec:
    short = Stage(
        level="test",
        steps=STEPS,
        packs_per_step=4,
        workers=PROCESSES,
        zero_stage=3,
        learning_rate=1e-3,
        warmup_steps=2,
        checkpoint_every=2,
        packing=Packing(max_tokens=64),
        **stage,
    )
    return Spec(
        asset="training/first",
        fingerprint="f",
        seed=3,
        inputs={"packs/first": [packs], "tokenizer/joint": ["unread"], "training/before": [previous]},
        output=str(output),
        settings=TrainSettings(stage_name="first", stage=short, model=Model(preset="tiny")),
    )


def run_processes(folder: Path, plan: list[tuple[Spec, int | None]]) -> list[list[dict[str, Any]]]:
    """Train in processes of their own; what each of them noted."""
    (folder / "plan.json").write_text(json.dumps([(spec.model_dump(mode="json"), at) for spec, at in plan]))
    program = [sys.executable, str(Path(__file__).with_name("process.py"))]
    ranks = range(PROCESSES)
    processes = [subprocess.Popen([*program, str(rank), str(PROCESSES), str(folder)]) for rank in ranks]
    try:
        assert [process.wait(DEADLINE_SECONDS) for process in processes] == [0] * PROCESSES
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [json.loads((folder / f"notes-{rank}.json").read_text()) for rank in ranks]


def train_alone(spec: Spec, output: Path) -> Spec:
    """The same stage by this process, which holds everything."""
    stage = spec.settings.stage.model_copy(update={"workers": 1, "zero_stage": 1})
    settings = spec.settings.model_copy(update={"stage": stage})
    one = spec.model_copy(update={"settings": settings, "output": str(output)})
    with alone(lambda *_: None) as world:
        assert train(world, task_of(one)) is None
    return one


def weights_before(spec: Spec) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in start_model(task_of(spec)).named_parameters()}


def weights_after(spec: Spec) -> dict[str, Tensor]:
    return load_file(f"{spec.output}/model/model.safetensors")


def largest(a: Tensor, b: Tensor) -> float:
    """The largest difference of two tensors."""
    return float((a - b).abs().max())


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(case: str, stages: Stages, tmp_path: Path) -> None:
    two = stages.cases[case]
    one = train_alone(two, tmp_path / "one")
    rows = [read_table(f"{spec.output}/{METRICS}").to_pylist() for spec in (one, two)]
    for a, b in zip(*rows, strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    before, expected, found = weights_before(two), weights_after(one), weights_after(two)
    assert max(largest(expected[name], found[name]) for name in before) < TOLERANCE
    # A negative control: each parameter that learns went much farther than that.
    learning = [name for name in before if case != "new" or name.startswith("visual")]
    assert min(largest(before[name], found[name]) for name in learning) > 50 * TOLERANCE
    assert all(torch.equal(before[name], found[name]) for name in before.keys() - set(learning))


@pytest.mark.parametrize("case", CASES)
def test_each_process_holds_its_half_of_what_is_large(case: str, stages: Stages) -> None:
    """A negative control: whole parameters would learn the same, and show nothing."""
    large = {name for name, p in weights_before(stages.cases[case]).items() if p.numel() > WHOLE}
    assert {"model.embed_tokens.weight", "visual_head.weight", "visual.codebook.weight"} <= large
    for notes in stages.notes:
        assert notes[list(CASES).index(case)]["shares"] == dict.fromkeys(large, 0.5)


def test_a_killed_run_goes_on_from_its_checkpoint_to_the_same_bytes(stages: Stages) -> None:
    whole, killed = (
        {f.path: f.sha256 for f in Output(s.output).receipts()[UNIT].files}
        for s in (stages.cases["all"], stages.killed)
    )
    assert killed == whole
    for notes in stages.notes:
        assert [seen["steps"] for seen in notes[-2:]] == [[1, 2, 3], [3, 4, 5]]
