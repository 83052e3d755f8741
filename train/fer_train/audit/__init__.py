"""`fer-data audit`: duplicates, leaks between splits and wrong labels."""
