"""Topics by picture: right where the encoder learnt something, and the same whatever runs beside."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

from infra.errors import UserError
from infra.job import JobSpec, Resources
from infra.manifest import read_manifest
from infra.reporter import SilentReporter
from jobs.curate.stage import kept_rows, read_catalogue
from jobs.curate.t2i.topics import run
from jobs.models import model_folder
from jobs.recipe import Topics
from jobs.semantic.encoder import load_encoder
from jobs.semantic.pictures import read_thumbnails
from jobs.semantic.zero_shot import PictureClassifier, Verdict
from jobs.specs import SemanticSettings
from jobs.specs.t2i import TopicSettings

Spec = JobSpec[SemanticSettings]
Classify = Callable[..., str]

COLOURS = Topics(
    taxonomy={"warm": ["red", "orange", "yellow"], "cold": ["green", "cyan", "blue"], "none": []},
    by="picture",
    prompt="a {} square",
)
"""Scenes of one colour belong to one of these, or to neither."""


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory, unseen: str) -> Classify:
    """`classify(encoder)` -> the output of a finished topics job over unseen scenes."""

    def make(encoder: str | None, topics: Topics = COLOURS, workers: int = 1) -> str:
        inputs = {"t2i/filtered": [unseen]} | ({"tokenizer/semantic": [encoder]} if encoder else {})
        spec = JobSpec[TopicSettings](
            asset="t2i/topics",
            fingerprint="f",
            inputs=inputs,
            output=str(tmp_path_factory.mktemp("topics")),
            settings=TopicSettings(topics=topics),
            resources=Resources(workers=workers),
        )
        run(spec, SilentReporter())
        return spec.output

    return make


@pytest.fixture(scope="module")
def finished(classify: Classify, trained: Spec) -> str:
    """The job's output with the trained encoder, one worker."""
    return classify(trained.output)


def pictures_of(folder: str) -> dict[str, Image.Image]:
    """The kept pictures of a filtered drop by source."""
    catalogue = kept_rows(read_catalogue(folder))
    sources, shards = catalogue["source"].to_pylist(), sorted(set(catalogue["shard"].to_pylist()))
    return {
        source: picture for shard in shards for source, picture in read_thumbnails(folder, shard, sources)
    }


def accuracy(folder: str, topics: dict[str, str]) -> float:
    """Share of right topics among scenes whose shapes are all warm or all cold."""
    right = []
    for row in read_catalogue(folder).to_pylist():
        if row["source"] in topics:
            colours = {clause["color"] for clause in json.loads(row["truth"])["include"]}
            fits = [name for name in ("warm", "cold") if colours <= set(COLOURS.taxonomy[name])]
            right += [topics[row["source"]] == name for name in fits]
    assert len(right) > 40
    return sum(right) / len(right)


def test_a_trained_encoder_finds_topics_and_an_untrained_one_does_not(
    finished: str, untrained: Spec, unseen: str
) -> None:
    rows = read_catalogue(finished).to_pylist()
    assert accuracy(unseen, {row["source"]: row["topic"] for row in rows}) > 0.85
    guess = PictureClassifier(load_encoder(untrained.output), COLOURS)
    guessed = {source: guess(picture).topic for source, picture in pictures_of(unseen).items()}
    assert 0.25 < accuracy(unseen, guessed) < 0.75


def test_every_picture_keeps_its_row(finished: str, unseen: str) -> None:
    manifest, table = read_manifest(finished), read_catalogue(finished)
    assert manifest.counts.total == manifest.counts.kept == len(table) == read_manifest(unseen).counts.kept
    assert manifest.metadata["topics"] == Counter(table["topic"].to_pylist())
    assert all(0.5 <= p <= 1 for p in table["topic_probability"].to_pylist())


def test_neither_workers_nor_other_pictures_change_anything(
    finished: str, classify: Classify, trained: Spec, unseen: str
) -> None:
    assert read_manifest(classify(trained.output, workers=2)) == read_manifest(finished)
    classifier = PictureClassifier(load_encoder(trained.output), COLOURS)
    pictures = pictures_of(unseen)
    for row in read_catalogue(finished).to_pylist()[::20]:
        alone = classifier(pictures[row["source"]])
        assert (alone.topic, alone.probability) == (row["topic"], row["topic_probability"])


def test_below_the_least_probability_the_topic_is_other(finished: str, trained: Spec, unseen: str) -> None:
    sure = COLOURS.model_copy(update={"min_probability": 0.9, "other": "rest"})
    classifier = PictureClassifier(load_encoder(trained.output), sure)
    pictures = pictures_of(unseen)
    found = Counter()
    for row in read_catalogue(finished).to_pylist():
        verdict = classifier(pictures[row["source"]])
        assert verdict.probability == row["topic_probability"]
        assert verdict.topic == (row["topic"] if row["topic_probability"] >= 0.9 else "rest")
        found[verdict.topic] += 1
    assert found.keys() == {"warm", "cold", "rest"}


def test_without_topics_all_is_other(trained: Spec, unseen: str) -> None:
    classifier = PictureClassifier(load_encoder(trained.output), Topics(by="picture"))
    picture, *_ = pictures_of(unseen).values()
    assert classifier(picture) == Verdict("other", None)


def test_topics_by_picture_without_an_encoder_is_one_line(classify: Classify) -> None:
    with pytest.raises(UserError, match="need a semantic encoder"):
        classify(None)


def test_a_prompt_without_a_place_is_refused_with_the_recipe() -> None:
    with pytest.raises(ValueError, match=r"'a photo' has no \{\} for the word"):
        Topics(by="picture", prompt="a photo")


def test_a_published_siglip2_serves_with_its_own_tokenizer(trained: Spec, tmp_path: Path) -> None:
    """A folder as the hub has them: no `text.json`, but a tokenizer that transformers knows."""
    with model_folder(trained.output) as folder:
        shutil.copytree(folder, tmp_path / "hub")
    (tmp_path / "hub" / "text.json").unlink()
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *"abcdefghijklmnopqrstuvwxyz▁"]
    Siglip2Tokenizer({word: number for number, word in enumerate(words)}, []).save_pretrained(
        tmp_path / "hub"
    )
    encoder = load_encoder(str(tmp_path / "hub"))
    upper, lower, other = encoder.texts(["A Red Square", "a red square", "a blue square"])
    assert upper.equal(lower)
    assert not other.equal(lower)


def test_no_encoder_at_a_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Siglip2Model at"):
        load_encoder(str(tmp_path))
