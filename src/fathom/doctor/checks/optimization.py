"""Optimization: what keeps the optimizer from fitting the training images."""

from __future__ import annotations

from fathom.doctor.checks import flow, rates
from fathom.doctor.diagnose import Check

CHECKS: dict[str, Check] = flow.CHECKS | rates.CHECKS
