"""Fixed computation budget packing (paper section 4, figure 13): next-fit under two caps.

The paper says what is balanced, not how; this is the plain reading. The last document that does not
fit leaves a gap, which differs from pack to pack.
"""

from __future__ import annotations

import numpy as np

from jobs.pack.columns import Columns, Ints
from jobs.pack.packers.limits import Limits, next_fit, require_fit


def fixed_budget(documents: Columns, limits: Limits) -> Ints:
    """Fill each pack in order up to the compute budget or the token cap, whichever comes first.

    Raises:
        ValueError: a document alone exceeds a limit.
    """
    require_fit(documents, limits)
    return next_fit([documents.tokens.astype(np.float64), documents.cost], [limits.tokens, limits.cost])
