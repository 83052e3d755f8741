"""Is the export right? Accuracy gate, contract, fusion, Edge TPU rules."""
