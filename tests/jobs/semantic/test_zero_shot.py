"""Topics by picture: right where the encoder learnt something, and made of stored embeddings alone."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import read_manifest
from infra.reporter import SilentReporter
from jobs.curate.stage import kept_rows, read_catalogue
from jobs.curate.t2i import embed, topics
from jobs.curate.t2i.embeddings import read_embeddings
from jobs.models import model_folder
from jobs.recipe import ScenesSource, Topics
from jobs.recipe.curation.t2i import Embedding
from jobs.semantic.encoder import load_encoder
from jobs.semantic.pictures import Drop
from jobs.semantic.zero_shot import PictureClassifier, Verdict
from jobs.specs import SemanticSettings
from jobs.specs.t2i import EmbedSettings, TopicSettings
from model.semantic import new_semantic_encoder, save_semantic_encoder
from model.text import load_text_tokenizer
from model.tokenizer import TokenizerConfig

pytestmark = pytest.mark.chaos  # trains for most of a minute

Spec = JobSpec[SemanticSettings]
Classify = Callable[..., str]

COLOURS = Topics(
    taxonomy={"warm": ["red", "orange", "yellow"], "cold": ["green", "cyan", "blue"], "none": []},
    by="picture",
    prompt="a {} square",
)
"""Scenes of one colour belong to one of these, or to neither."""

UNSEEN = ScenesSource(count=120, seed=1, shard_records=60)


@pytest.fixture(scope="module")
def unseen(filter_source: Callable[[ScenesSource], Drop]) -> Drop:
    """Scenes that no encoder is trained on."""
    return filter_source(UNSEEN)


@pytest.fixture(scope="module")
def embedded(
    tmp_path_factory: pytest.TempPathFactory, unseen: Drop, trained: Spec, untrained: Spec
) -> Classify:
    """`embedded(encoder)` -> the unseen scenes as a trained or an untrained encoder embeds them."""
    found: dict[str, str] = {}
    for encoder in (trained.output, untrained.output):
        settings = EmbedSettings(source=UNSEEN, max_pixels=10**6, embedding=Embedding())
        spec = JobSpec[EmbedSettings](
            asset="t2i/embedded",
            fingerprint="f",
            inputs={"t2i/scored": [unseen.scored], "tokenizer/semantic": [encoder]},
            output=str(tmp_path_factory.mktemp("embedded")),
            settings=settings,
        )
        embed.run(spec, SilentReporter())
        found[encoder] = spec.output
    return found.__getitem__


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory, unseen: Drop, embedded: Classify) -> Classify:
    """`classify(encoder)` -> the output of a finished topics job over unseen scenes."""

    def make(vectors: str, words: str | None, by: Topics = COLOURS) -> str:
        inputs = {"t2i/filtered": [unseen.filtered], "t2i/embedded": [embedded(vectors)]}
        spec = JobSpec[TopicSettings](
            asset="t2i/topics",
            fingerprint="f",
            inputs=inputs | ({"tokenizer/semantic": [words]} if words else {}),
            output=str(tmp_path_factory.mktemp("topics")),
            settings=TopicSettings(topics=by, order=list(by.taxonomy), embedding=Embedding()),
        )
        topics.run(spec, SilentReporter())
        return spec.output

    return make


@pytest.fixture(scope="module")
def finished(classify: Classify, trained: Spec) -> str:
    """The job's output with the trained encoder."""
    return classify(trained.output, trained.output)


def vectors_of(folder: str, unseen: Drop) -> dict[str, torch.Tensor]:
    """The stored embeddings of the kept pictures by source."""
    sources = kept_rows(read_catalogue(unseen.filtered))["source"].to_pylist()
    return dict(zip(sources, torch.from_numpy(read_embeddings(folder, sources)), strict=True))


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
    finished: str, classify: Classify, untrained: Spec, unseen: Drop
) -> None:
    def found(folder: str) -> dict[str, str]:
        return {row["source"]: row["topic"] for row in read_catalogue(folder).to_pylist()}

    assert accuracy(unseen.filtered, found(finished)) > 0.85
    guess = found(classify(untrained.output, untrained.output))
    assert 0.25 < accuracy(unseen.filtered, guess) < 0.75


def test_every_picture_keeps_its_row(finished: str, unseen: Drop) -> None:
    manifest, table = read_manifest(finished), read_catalogue(finished)
    kept = read_manifest(unseen.filtered).counts.kept
    assert manifest.counts.total == manifest.counts.kept == len(table) == kept
    assert manifest.metadata["topics"] == Counter(table["topic"].to_pylist())
    assert all(0.5 <= p <= 1 for p in table["topic_probability"].to_pylist())


def test_no_picture_is_opened(finished: str) -> None:
    """All that is read is stored: there are no units of work."""
    assert not (Path(finished) / "units").exists()


def test_what_is_classified_beside_a_picture_changes_nothing(
    finished: str, trained: Spec, unseen: Drop, embedded: Classify
) -> None:
    classifier = PictureClassifier(load_encoder(trained.output), COLOURS)
    vectors = vectors_of(embedded(trained.output), unseen)
    for row in read_catalogue(finished).to_pylist()[::20]:
        alone = classifier(vectors[row["source"]])
        assert (alone.topic, alone.probability) == (row["topic"], row["topic_probability"])


def test_below_the_least_probability_the_topic_is_other(
    finished: str, trained: Spec, unseen: Drop, embedded: Classify
) -> None:
    sure = COLOURS.model_copy(update={"min_probability": 0.9, "other": "rest"})
    classifier = PictureClassifier(load_encoder(trained.output), sure)
    vectors = vectors_of(embedded(trained.output), unseen)
    found = Counter()
    for row in read_catalogue(finished).to_pylist():
        verdict = classifier(vectors[row["source"]])
        assert verdict.probability == row["topic_probability"]
        assert verdict.topic == (row["topic"] if row["topic_probability"] >= 0.9 else "rest")
        found[verdict.topic] += 1
    assert found.keys() == {"warm", "cold", "rest"}


def test_without_topics_all_is_other(trained: Spec) -> None:
    classifier = PictureClassifier(load_encoder(trained.output), Topics(by="picture"))
    assert classifier(torch.ones(32)) == Verdict("other", None)


def test_topics_by_picture_without_an_encoder_is_one_line(classify: Classify, trained: Spec) -> None:
    with pytest.raises(UserError, match="need a semantic encoder"):
        classify(trained.output, None)


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


def test_an_encoder_without_its_tokenizer_is_one_line(tmp_path: Path) -> None:
    """transformers then makes up one without a word, to which all texts are equal."""
    encoder = new_semantic_encoder(TokenizerConfig.preset("tiny"), load_text_tokenizer(), 0)
    save_semantic_encoder(encoder, tmp_path)
    with pytest.raises(UserError, match="no tokenizer with words at"):
        load_encoder(str(tmp_path))


def test_no_encoder_at_a_place_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Siglip2Model at"):
        load_encoder(str(tmp_path))
