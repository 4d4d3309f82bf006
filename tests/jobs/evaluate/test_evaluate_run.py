"""The evaluation job: every prompt has its samples, and the scores are what the pixels say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from infra.catalogue import Counts
from infra.job import JobSpec
from infra.manifest import Manifest, read_table
from infra.reporter import SilentReporter
from jobs.evaluate.figures import figures
from jobs.evaluate.run import run, score
from jobs.recipe import Evaluation, Model
from jobs.scenes.draw import draw
from jobs.scenes.prompts import chance_level, fixed_prompts
from jobs.scenes.sample import make_sample
from jobs.scenes.truth import Truth
from jobs.scenes.world import sample_scene
from jobs.specs import EvaluateSettings
from tests.jobs.support import LEVEL, publish_tokenizer, publish_transformer

Models = tuple[str, str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    return publish_transformer(folder / "transformer"), publish_tokenizer(folder / "tokenizer")


def evaluate(
    models: Models, output: Path, prompts: Literal["scenes"] | list[str], samples: int = 2, seed: int = 0
) -> Manifest:
    evaluation = Evaluation(stages=["pretrain"], prompts=prompts, samples_per_prompt=samples)
    spec: JobSpec[Any] = JobSpec[EvaluateSettings](
        asset="evaluation/pretrain/fixed_prompts",
        fingerprint="f",
        seed=seed,
        inputs={"training/pretrain": [models[0]], "tokenizer/decoder": [models[1]]},
        output=str(output),
        settings=EvaluateSettings(evaluation=evaluation, level=LEVEL, model=Model(preset="tiny")),
    )
    return run(spec, SilentReporter())


def test_scenes_prompts_are_sampled_scored_and_shown(models: Models, tmp_path: Path) -> None:
    manifest = evaluate(models, tmp_path, "scenes", samples=1)
    prompts = fixed_prompts()
    assert manifest.counts == Counts(total=len(prompts), kept=len(prompts))
    rows = read_table(str(tmp_path / "data/scores.parquet")).to_pylist()
    assert [row["prompt"] for row in rows] == [prompt.text for prompt in prompts]
    for row, prompt in zip(rows, prompts, strict=True):
        picture = Image.open(tmp_path / row["path"])
        again = score(picture, prompt.truth)
        assert {name: row[name] for name in again} == again
    assert manifest.metadata["chance"] == {tag: chance_level(tag) for tag in manifest.metadata["accuracy"]}
    assert sum(manifest.metadata["samples"].values()) == len(prompts)
    names = {path.stem for path in (tmp_path / "pictures").glob("*.png")}
    assert {"accuracy", "samples-counting", "samples-position"} <= names


def test_true_pictures_pass_and_those_of_another_prompt_do_not() -> None:
    cases = [(sample_scene(0, n), Truth.model_validate_json(make_sample(0, n, 64).truth)) for n in range(20)]
    right = [score(draw(scene, 64), truth) for scene, truth in cases]
    wrong = [
        score(draw(scene, 64), truth)
        for (scene, _), (_, truth) in zip(cases, [*cases[1:], cases[0]], strict=True)
    ]
    prompted = [[row | {"prompt": n} for n, row in enumerate(rows)] for rows in (right, wrong)]
    assert set(figures(prompted[0])["accuracy"].values()) == {1.0}
    assert figures(prompted[1])["overall_accuracy"] < 0.2


def test_own_prompts_are_sampled_but_not_scored(models: Models, tmp_path: Path) -> None:
    manifest = evaluate(models, tmp_path, ["a cat", "../../ürgh?", "a cat"])
    assert manifest.counts == Counts(total=6, kept=6)
    assert "accuracy" not in manifest.metadata
    rows = read_table(str(tmp_path / "data/scores.parquet")).to_pylist()
    assert {(row["tag"], row["passed"]) for row in rows} == {(None, None)}
    assert {Path(row["path"]).parent.name for row in rows} == {"000-a-cat", "001-rgh", "002-a-cat"}
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["samples.png"]
    picture = Image.open(io.BytesIO((tmp_path / rows[0]["path"]).read_bytes()))
    assert picture.size == (64, 64)


def test_a_killed_run_ends_with_the_same_bytes_and_another_seed_does_not(
    models: Models, tmp_path: Path
) -> None:
    prompts = ["a cat", "a dog", "a cow"]
    whole = evaluate(models, tmp_path / "a", prompts)
    (tmp_path / "a/manifest.parquet").unlink()
    (tmp_path / "a/units/001-a-dog.json").unlink()
    (tmp_path / "a/data/001-a-dog/1.png").unlink()
    assert evaluate(models, tmp_path / "a", prompts).hash == whole.hash
    assert evaluate(models, tmp_path / "b", prompts, seed=1).hash != whole.hash
