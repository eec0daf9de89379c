"""Checks."""

from __future__ import annotations

from fathom.doctor.diagnose import Check

CHECKS: dict[str, Check] = {}
