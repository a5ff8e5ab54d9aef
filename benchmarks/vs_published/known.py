"""The methods that the published procedure has, by the class that makes the harness's row."""

from __future__ import annotations

UNOPTIMIZED = "harness.methods.native.Unoptimized"
FUSED = "harness.methods.native.Fused"
QUANTIZED = "harness.methods.native.Quantized"
TUNED = "harness.methods.inc.Tuned"
ALL = (UNOPTIMIZED, FUSED, QUANTIZED, TUNED)
