"""`fer-data import`: unpack what was downloaded into a folder that every tool reads."""
