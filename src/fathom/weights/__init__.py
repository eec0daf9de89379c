"""Pretrained weights: where they come from, how they are read safely, and into which network."""
