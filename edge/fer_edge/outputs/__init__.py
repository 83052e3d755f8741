"""Where results go: one module per output."""
