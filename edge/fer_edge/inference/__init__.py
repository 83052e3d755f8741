"""From a face to probabilities: tensors, the Classifier interface and its backends."""
