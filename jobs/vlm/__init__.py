"""Questions about pictures and texts, answered by a vision-language model or by the source itself.

    vlm = open_vlm(recipe.vlm, spec.cache)
    for reply in vlm.ask(questions):
        ...  # in the order of the questions; `reply.answer` is validated, or `reply.problem` says why not

A stage asks without knowing who answers: the source's own text (`source`, no downloads), a server that
speaks OpenAI's protocol (`openai`), or an engine on the cluster's own GPUs (`vllm`).
"""

from jobs.vlm.open import open_vlm
from jobs.vlm.question import Problem, Question, Reply, Vlm
from jobs.vlm.usage import Usage, check_reached, merge_usage, usage

__all__ = [
    "Problem",
    "Question",
    "Reply",
    "Usage",
    "Vlm",
    "check_reached",
    "merge_usage",
    "open_vlm",
    "usage",
]
