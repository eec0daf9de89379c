"""The doctor: a named cause, with evidence and a remedy.

What is measured (`observed`, filled by `watch` and `attend`) is apart from what it means
(`checks`), and that from what to do (`nouns.Finding`). A check is a function of numbers: it can be
judged again on what a thousand runs showed, without training any of them again.
"""

from fathom.doctor.attend import Doctor
from fathom.doctor.diagnose import diagnose
from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Observed
from fathom.doctor.watch import Watch

__all__ = [
    "Doctor",
    "Evidence",
    "Finding",
    "Observed",
    "Rejected",
    "Remedy",
    "Watch",
    "diagnose",
]
