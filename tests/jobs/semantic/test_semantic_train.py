"""The encoder's job: it learns, resumes to the same bytes, and publishes what anyone can load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import KillAt, KilledError
from transformers import Siglip2Model

from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, read_manifest
from infra.reporter import SilentReporter
from jobs.curate.stage import kept_rows, read_catalogue
from jobs.models import model_folder
from jobs.recipe import FolderSource, ScenesSource, Source
from jobs.scenes.sample import make_sample
from jobs.semantic.encoder import load_encoder
from jobs.semantic.evaluate import sigmoid_loss
from jobs.semantic.pictures import Drop, find_captioned, read_pairs
from jobs.semantic.train import run
from jobs.specs import SemanticSettings
from model.semantic import embed_images, embed_texts, new_semantic_encoder, text_ids
from model.text import load_text_tokenizer
from model.tokenizer import TokenizerConfig

Spec = JobSpec[SemanticSettings]
FilterSource = Callable[[Source], Drop]


def contents(spec: Spec, manifest: Manifest) -> dict[str, bytes]:
    return {f.path: (Path(spec.output) / f.path).read_bytes() for f in manifest.files}


def test_the_loss_is_the_papers() -> None:
    """Algorithm 1 of arXiv 2303.15343, in float64: every pair on its own."""
    encoder = new_semantic_encoder(TokenizerConfig.preset("tiny"), load_text_tokenizer(), 0).double()
    rng = np.random.default_rng(0)
    images, texts = (e / np.linalg.norm(e, axis=1, keepdims=True) for e in rng.normal(size=(2, 5, 32)))
    with torch.no_grad():
        encoder.logit_scale.fill_(1.3)
        encoder.logit_bias.fill_(-0.7)
    total = 0.0
    for i in range(5):
        for j in range(5):
            logit = np.exp(1.3) * images[i] @ texts[j] - 0.7
            total += np.log1p(np.exp(-logit if i == j else logit))
    found = sigmoid_loss(encoder, torch.from_numpy(images), torch.from_numpy(texts))
    assert found.item() == pytest.approx(total / 5, rel=1e-12)


def test_the_job_learns_which_caption_belongs_to_a_picture(trained: Spec, untrained: Spec) -> None:
    figures = read_manifest(trained.output).metadata
    assert figures["steps"] == 200
    assert figures["last"]["loss"] < 0.6 * figures["first"]["loss"]
    assert figures["retrieval_chance"] == 1 / figures["compared"] <= 1 / 15
    assert figures["retrieval"] > 4 * figures["retrieval_chance"]
    control = read_manifest(untrained.output).metadata
    assert control["retrieval"] < 3 * control["retrieval_chance"]
    assert {p.stem for p in (Path(trained.output) / "pictures").iterdir()} == {"loss", "nearest_captions"}


def test_a_killed_run_ends_at_the_same_bytes(make_spec: Any) -> None:
    whole, killed = make_spec("whole", steps=8), make_spec("killed", steps=8)
    expected = run(whole, SilentReporter())
    for step in (1, 4, 7):
        with pytest.raises(KilledError):
            run(killed, KillAt(step))
    assert run(killed, SilentReporter()) == expected
    assert contents(killed, expected) == contents(whole, expected)


def test_the_order_of_drops_changes_nothing(make_spec: Any, filter_source: FilterSource) -> None:
    drops = [filter_source(ScenesSource(count=40, seed=seed)) for seed in (1, 2)]
    manifests = [
        run(make_spec(name, folders, steps=2), SilentReporter())
        for name, folders in (("a", drops), ("b", drops[::-1]))
    ]
    assert manifests[0] == manifests[1]


def test_what_is_published_is_a_siglip2(trained: Spec, scenes: Drop) -> None:
    encoder = load_encoder(trained.output)
    with model_folder(trained.output) as folder:
        theirs = Siglip2Model.from_pretrained(folder, use_safetensors=True).eval()
    text = load_text_tokenizer()
    pairs = read_pairs(find_captioned([scenes], 5).rows, 64, text)
    with torch.no_grad():
        assert torch.equal(
            embed_images(encoder.model, pairs.images([2])), embed_images(theirs, pairs.images([2]))
        )
        ids_BT = text_ids(text, pairs.captions[2:3])
        assert torch.equal(encoder.texts(pairs.captions[2:3]), embed_texts(theirs, ids_BT))
    assert encoder.scale == pytest.approx(theirs.logit_scale.exp().item())


def test_a_bucket_serves_as_a_folder(make_spec: Any, s3_root: str) -> None:
    local = make_spec("local", steps=2, checkpoint_every=1)
    remote = local.model_copy(update={"output": f"{s3_root}/semantic"})
    assert run(remote, SilentReporter()) == run(local, SilentReporter())
    texts = ["a red circle"]
    assert torch.equal(load_encoder(remote.output).texts(texts), load_encoder(local.output).texts(texts))


def folder_of_scenes(folder: Path, captions: list[str | None]) -> FolderSource:
    folder.mkdir()
    for number, caption in enumerate(captions):
        (folder / f"{number}.png").write_bytes(make_sample(7, number, 64).png)
        if caption is not None:
            (folder / f"{number}.txt").write_text(caption)
    return FolderSource(uri=str(folder))


def test_pictures_are_kept_or_rejected_for_a_reason(
    make_spec: Any, filter_source: FilterSource, tmp_path: Path
) -> None:
    captions = [None if number % 3 == 0 else f"scene {number}" for number in range(30)]
    drop = filter_source(folder_of_scenes(tmp_path / "pictures", captions))
    kept = kept_rows(read_catalogue(drop.filtered))
    captioned = [row["sample_id"] for row in kept.to_pylist() if row["caption"]]
    assert 15 < len(captioned) < len(kept)
    assert find_captioned([drop], 15).rows["sample_id"].to_pylist() == sorted(captioned)[:15]
    counts = run(make_spec("run", [drop], steps=1, pictures=15), SilentReporter()).counts
    assert (counts.total, counts.kept) == (len(kept), 8)
    assert counts.rejected == {
        "no_caption": len(kept) - len(captioned),
        "beyond_limit": len(captioned) - 15,
        "held_out": 7,
    }


def test_one_caption_for_all_is_one_line(make_spec: Any, filter_source: FilterSource, tmp_path: Path) -> None:
    drop = filter_source(folder_of_scenes(tmp_path / "pictures", ["a scene"] * 6))
    with pytest.raises(UserError, match="1 different captions are too few"):
        run(make_spec("run", [drop]), SilentReporter())


def test_a_patch_that_does_not_divide_the_side_is_one_line(make_spec: Any) -> None:
    with pytest.raises(UserError, match="40 pixels a side are no multiple of the preset's patch, 16"):
        run(make_spec("run", side=40), SilentReporter())


def test_an_unknown_preset_is_one_line(make_spec: Any) -> None:
    spec = make_spec("run")
    wrong = spec.settings.model_copy(update={"preset": "huge"})
    with pytest.raises(UserError, match="no tokenizer preset 'huge'"):
        run(spec.model_copy(update={"settings": wrong}), SilentReporter())


def test_a_loss_that_is_not_finite_stops_with_its_step(make_spec: Any) -> None:
    with pytest.raises(UserError, match="not finite at step"):
        run(make_spec("run", learning_rate=1e30, warmup_steps=0), SilentReporter())
