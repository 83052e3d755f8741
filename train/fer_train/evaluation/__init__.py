"""Accuracy, calibration and their confidence intervals."""
