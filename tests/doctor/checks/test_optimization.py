from fathom.doctor.causes import CAUSES
from fathom.doctor.checks import loop, modes, optimization


def test_every_cause_of_these_families_has_its_check() -> None:
    for family, module in (("optimization", optimization), ("loop", loop), ("modes", modes)):
        wanted = {cause.id for cause in CAUSES.values() if cause.family == family}
        assert set(module.CHECKS) == wanted
        for check in module.CHECKS.values():
            text = check.__doc__ or ""
            assert all(word in text for word in ("Measure:", "Threshold:", "Source:"))
