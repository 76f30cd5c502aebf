"""Thresholds that several studies decide by, each stated once, with its reason."""

LATER = 2.0
"""A number that sampling leaves is told from another above this many times of it."""

CLOSE = 0.05
"""A law holds if the whole interval is within this fraction of it: a tenth of what tells CV = 1 from CV = 1/2."""

SMALL = 0.01
"""Error of the shares (TV, or rms L2 bias of a row) below which a circuit is said to compute what it is held against:
what 10,000 independent spikes leave of a row of two equal keys is 0.004, of one of 14 is 0.014."""

TRIVIAL = 0.5
"""A circuit does more than a trivial read-out if its error is below this fraction of that read-out's."""

ORDER_MARGIN = 0.1
"""An order is one of a law's if its whole interval is so near: a fifth of what lies between -1/2 and -1."""
