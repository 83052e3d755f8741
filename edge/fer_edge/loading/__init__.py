"""Find a model file, check it and open it."""
