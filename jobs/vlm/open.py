"""From the recipe's section to whoever answers."""

from __future__ import annotations

from jobs.recipe.vlm import OpenAiEndpoint, SourceText, VlmSettings
from jobs.vlm.question import Vlm
from jobs.vlm.source import SourceVlm


def open_vlm(settings: VlmSettings, cache: str | None) -> Vlm:
    """Whoever the recipe's section `vlm` names.

    Args:
        settings: the section.
        cache: folder in which answers are kept for other runs, `spec.cache` of a job; None keeps none.

    Raises:
        UserError: what the section needs is missing here, such as the key's environment variable.
    """
    if isinstance(settings, SourceText):
        return SourceVlm()
    # What asks a model is loaded only where one is asked.
    from jobs.vlm.cache import AnswerCache

    answers = AnswerCache(cache) if cache else None
    if isinstance(settings, OpenAiEndpoint):
        from jobs.vlm.server import ServerVlm

        return ServerVlm(settings, answers)
    from jobs.vlm.engine import EngineVlm, vllm_processor

    return EngineVlm(settings, answers, vllm_processor(settings))
