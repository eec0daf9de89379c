"""Captum, an independent implementation of two of the methods, where it is installed."""

from __future__ import annotations

import warnings
from typing import Any

import pytest


def captum() -> Any:
    """Its module of attributions; skips the test without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("captum.attr")
