"""The recipe: one YAML file says a whole project. Every section of it is a typed model here.

Importing this package loads no torch, ray or cv2: Dagster reads recipes to draw the graph.
"""

from jobs.recipe.curation import Curation
from jobs.recipe.curation.t2i import Balance, Captions, Duplicates, Filters, T2ICuration, Topics
from jobs.recipe.packing import Packing
from jobs.recipe.project import Recipe
from jobs.recipe.section import Section
from jobs.recipe.sources import (
    FolderSource,
    ParquetSource,
    ScenesSource,
    Source,
    Sources,
    T2ISource,
    WebDatasetSource,
)
from jobs.recipe.tokenizer import (
    Level,
    SelfCorrection,
    SemanticEncoder,
    Tokenizer,
    TokenizerEvaluation,
    TokenizerLosses,
    TokenizerShared,
    TokenizerStage,
    Tokens,
)
from jobs.recipe.training import ContextMode, Evaluation, Model, Sampling, Stage

__all__ = [
    "Balance",
    "Captions",
    "ContextMode",
    "Curation",
    "Duplicates",
    "Evaluation",
    "Filters",
    "FolderSource",
    "Level",
    "Model",
    "Packing",
    "ParquetSource",
    "Recipe",
    "Sampling",
    "ScenesSource",
    "Section",
    "SelfCorrection",
    "SemanticEncoder",
    "Source",
    "Sources",
    "Stage",
    "T2ICuration",
    "T2ISource",
    "Tokenizer",
    "TokenizerEvaluation",
    "TokenizerLosses",
    "TokenizerShared",
    "TokenizerStage",
    "Tokens",
    "Topics",
    "WebDatasetSource",
]
