"""``fer-bench robustness``: accuracy on disturbed faces (noise, blur, compression, light, position, hidden parts)."""

from fer_bench.robustness.schema import RobustnessReport

__all__ = ["RobustnessReport"]
