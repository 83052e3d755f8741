"""Where recognised faces go: one file an output."""
