"""Pretrained networks as feature extractors: fold, extract once, keep on disk, compare."""
