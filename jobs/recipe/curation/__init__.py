"""Curation, family by family."""

from __future__ import annotations

from jobs.recipe.curation.edit import EditCuration
from jobs.recipe.curation.subject import SubjectCuration
from jobs.recipe.curation.t2i import T2ICuration
from jobs.recipe.curation.text import TextCuration
from jobs.recipe.curation.understanding import UnderstandingCuration
from jobs.recipe.section import Section


class Curation(Section):
    """Curation, family by family."""

    t2i: T2ICuration = T2ICuration()
    understanding: UnderstandingCuration | None = None
    """Made from curated pictures, and from a source of its own where there is one; null makes none."""
    edit: EditCuration | None = None
    """From a source of its own, and made from curated pictures; null makes none."""
    subject: SubjectCuration = SubjectCuration()
    text: TextCuration = TextCuration()
