"""Procedurally drawn faces, for tests and first steps without a data set."""
