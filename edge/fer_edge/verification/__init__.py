"""Golden vectors: prove that a device computes what the exporter computed."""
