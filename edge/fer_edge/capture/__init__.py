"""Frames from cameras, streams, videos and images."""
