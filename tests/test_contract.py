"""The laws of ARCHITECTURE.md over every registered family."""

from __future__ import annotations

import pytest

from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.registry import families
from ar_zoo.testing import density, laws

# Laws that a family may declare absent, and how they then must fail: 7 for want of anything to train.
ABSENT = {6: AssertionError, 7: laws.NothingToTrain, 10: AssertionError}
COMPILED_MOST = (5, 6, 10)
REPLICATED = "neural_lm"  # the family whose law 9 runs in `make test`; it trains four times, so all others' are slow


def _cases():
    for family, cls in families().items():
        suite = laws if issubclass(cls, AutoregressiveModel) else density
        for number, checks in suite.LAWS.items():
            for law in checks:
                slow = family != REPLICATED if number == 9 else cls.HEAVY and number in COMPILED_MOST
                marks = [pytest.mark.slow] if slow else []
                if number in cls.EXEMPT:
                    assert number in ABSENT, f"{family}: only laws {[*ABSENT]} may be declared absent, not {number}"
                    marks += [pytest.mark.xfail(strict=True, reason=cls.EXEMPT[number], raises=ABSENT[number])]
                yield pytest.param(law, cls, id=f"{number}-{law.__name__}-{family}", marks=marks)


@pytest.mark.parametrize(("law", "cls"), list(_cases()))
def test_law(law, cls):
    law(cls)
