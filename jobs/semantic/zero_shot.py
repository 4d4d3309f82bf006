"""The topic of a picture, from what it shows: the topic whose words lie nearest to its stored embedding.

Only the words are embedded here. Each picture is compared on its own, so its topic is a pure function of
its embedding, the encoder and the topics, whatever is classified beside it.

Shapes: N pictures, K topics, W words of a topic, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from infra.job import JobSpec
from jobs.curate.stage import only_input
from jobs.curate.t2i.embedders import Embedder, open_embedder
from jobs.curate.t2i.embeddings import read_embeddings
from jobs.recipe import Topics
from jobs.specs.t2i import TopicSettings
from jobs.tensors import one_thread


@dataclass(frozen=True)
class Verdict:
    """The topic of a picture, and the probability of the best topic, which `other` may have replaced."""

    topic: str
    probability: float | None
    """None where there are no topics."""


class PictureClassifier:
    """Zero-shot classification of embedded pictures (CLIP, arXiv 2103.00020, section 3.1)."""

    def __init__(self, embedder: Embedder, topics: Topics) -> None:
        self._topics = topics
        words = {name: words for name, words in topics.taxonomy.items() if words}
        self._names = list(words)
        self._scale = embedder.scale
        places_D = [_embed_topic(embedder, topics.prompt, words[name]) for name in self._names]
        self._topics_KD = torch.stack(places_D).double() if places_D else torch.empty(0, 0)

    def __call__(self, embedding_D: Tensor) -> Verdict:
        """The topic of a picture's embedding."""
        if not self._names:
            return Verdict(self._topics.other, None)
        cosines_K = self._topics_KD @ embedding_D.double()
        probabilities_K = (self._scale * cosines_K).softmax(dim=0)
        best = int(probabilities_K.argmax())
        probability = float(probabilities_K[best])
        sure = probability >= self._topics.min_probability
        return Verdict(self._names[best] if sure else self._topics.other, probability)


def classify_pictures(spec: JobSpec[TopicSettings], sources: Sequence[str]) -> list[Verdict]:
    """The verdict on each of some pictures of the drop, from their stored embeddings.

    Raises:
        UserError: there is no encoder for the words.
    """
    settings, trained = spec.settings, spec.inputs.get("tokenizer/semantic", [])
    assert settings.embedding is not None
    vectors_ND = read_embeddings(only_input(spec, "t2i/embedded"), sources)
    with one_thread():
        embedder = open_embedder(settings.embedding, settings.pretrained, trained)
        classify = PictureClassifier(embedder, settings.topics)
        return [classify(torch.from_numpy(vector_D)) for vector_D in vectors_ND]


def _embed_topic(embedder: Embedder, prompt: str, words: Sequence[str]) -> Tensor:
    """A topic's place [D], of length one: the middle of its words, each in the prompt's sentence."""
    texts_WD = embedder.texts([prompt.replace("{}", word) for word in words])
    return functional.normalize(texts_WD.mean(dim=0), dim=0)
