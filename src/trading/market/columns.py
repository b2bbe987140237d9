"""A table of a market in memory: what Parquet files, archives and pages of candles become, and come from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float64] | NDArray[np.int64]]
