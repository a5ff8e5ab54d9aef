"""The methods that the published procedure has, by the class that makes the harness's row."""

from __future__ import annotations

from harness.storage.method_options import FUSED, INC, QUANTIZED, UNOPTIMIZED

ALL = (UNOPTIMIZED, FUSED, QUANTIZED, INC)
