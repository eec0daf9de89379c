from fathom.doctor.causes import CAUSES
from fathom.doctor.checks import loop, modes, optimization
from fathom.doctor.diagnose import diagnose

from .made import falls, made, stays


def test_every_cause_of_these_families_has_its_check() -> None:
    for family, module in (("optimization", optimization), ("loop", loop), ("modes", modes)):
        wanted = {cause.id for cause in CAUSES.values() if cause.family == family}
        assert set(module.CHECKS) == wanted
        for check in module.CHECKS.values():
            text = check.__doc__ or ""
            assert all(word in text for word in ("Measure:", "Threshold:", "Source:"))


def test_a_run_that_came_to_nothing_is_never_healthy() -> None:
    seen = made(stays)
    seen.exams[0].top1 = 0.1
    assert [f.cause for f in diagnose(seen)] == ["nothing-learnt"]
    assert optimization.nothing_learnt_at_all(made(falls)) is None
    seen.exams[0].top1 = 0.4  # unsure of itself, but often right
    assert optimization.nothing_learnt_at_all(seen) is None


def test_what_is_known_goes_before_what_is_not() -> None:
    seen = made(stays)
    seen.exams[0].top1 = 0.1
    seen.structure.unoptimised_params, seen.structure.params = 10, 100
    assert [f.cause for f in diagnose(seen)] == ["parameters-not-optimised"]
