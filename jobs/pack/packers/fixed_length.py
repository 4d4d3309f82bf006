"""Fixed length packing: next-fit by tokens alone, as most language models are trained.

Packs are equally long, not equally expensive: a long document costs more per token than short ones.
"""

from __future__ import annotations

import numpy as np

from jobs.pack.columns import Columns, Ints
from jobs.pack.packers.limits import Limits, next_fit, require_fit


def fixed_length(documents: Columns, limits: Limits) -> Ints:
    """Fill each pack in order up to the token cap; compute is not limited.

    Raises:
        ValueError: a document alone exceeds the token cap.
    """
    require_fit(documents, Limits(limits.tokens, np.inf))
    return next_fit([documents.tokens.astype(np.float64)], [limits.tokens])
