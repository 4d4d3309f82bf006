"""Curation of subject pairs: two pictures of one person, animal, object or idea (paper 5.3.2)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.recipe.curation.t2i import Duplicates, Filters
from jobs.recipe.section import Section

SubjectType = Literal["human", "animal", "object", "abstract", "style"]
"""What two pictures may share (paper 5.3.2)."""

_WORDS: dict[SubjectType, str] = {
    "human": (
        "person people man men woman women boy girl child children lady gentleman bride groom actor "
        "actress singer dancer player athlete soldier doctor nurse teacher chef king queen astronaut"
    ),
    "animal": (
        "animal bear bird butterfly camel cat chicken cow crab deer dinosaur dog dolphin duck eagle elephant "
        "fish fox frog giraffe goat goose gorilla hamster hippopotamus horse insect kangaroo kitten koala "
        "leopard lion lizard monkey mouse owl panda parrot penguin pig puppy rabbit rhinoceros seal shark "
        "sheep snake spider squirrel tiger turtle whale wolf zebra"
    ),
    "object": (
        "airplane apple backpack bag ball balloon banana bed bench bicycle bike boat book bottle bowl box "
        "bridge bus cake camera candle cap car chair clock coat coin computer cup dish door dress flower "
        "fork glass glasses guitar hat helicopter house jacket jar kettle key knife lamp locomotive "
        "motorcycle mug pencil phone piano pizza plane plant plate pumpkin racket rocket scooter ship shirt "
        "shoe shovel skateboard sneaker spoon strawberry table teapot tomato tractor train tree truck "
        "umbrella van vase violin watch wheel "
        "circle cross square star triangle"
    ),
    "abstract": "chart crest diagram emblem flag icon logo map monogram pattern pictogram texture",
    "style": "cartoon collage cubism engraving manga mosaic silhouette sketch watercolor watercolour",
}
"""A small taxonomy of English nouns, for captions that no model has read."""

WORDS: dict[SubjectType, list[str]] = {kind: words.split() for kind, words in _WORDS.items()}


class SubjectCuration(Section):
    """Which pictures of a group become pairs."""

    filters: Filters = Filters()
    duplicates: Duplicates = Duplicates()
    """Within a group: a pair of near copies teaches copying."""
    max_group: int = Field(default=32, ge=2)
    """Pictures of one group; of a larger group so many are drawn. Pairs grow with its square."""
    min_similarity: float = Field(default=0.6, ge=-1, le=1)
    """Cosine of two pictures' embeddings below which they are no candidates."""
    max_similarity: float = Field(default=0.97, ge=-1, le=1)
    """Cosine above which two pictures are near copies of each other."""
    pairs_per_picture: int = Field(default=3, ge=1)
    """Candidates that one picture may stand in; the most similar are taken first."""
    words: dict[SubjectType, list[str]] = WORDS
    """Words of captions that name a subject, by its type: for `vlm.kind: source`, which reads no pictures.
    Of several that captions share, one of the first type counts, in the order of types above."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_similarity >= self.max_similarity:
            limits = f"{self.min_similarity:g} and {self.max_similarity:g}"
            raise ValueError(f"min_similarity is not below max_similarity: {limits}")
        return self
