"""Data sets: reading every layout, decoding, caching, cleaning and splitting."""
