"""Run folders: recipe, history, plots and weights."""
