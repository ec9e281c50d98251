"""The laws of ARCHITECTURE.md over every registered family."""

from __future__ import annotations

import pytest

from ar_zoo.core.registry import families
from ar_zoo.testing import laws


def _cases():
    for family, cls in families().items():
        for number, checks in laws.LAWS.items():
            for law in checks:
                marks = []
                if number in cls.EXEMPT:
                    assert number in (6, 10), f"{family}: only laws 6 and 10 may be declared absent, not {number}"
                    marks = [pytest.mark.xfail(strict=True, reason=cls.EXEMPT[number], raises=AssertionError)]
                yield pytest.param(law, cls, id=f"{number}-{law.__name__}-{family}", marks=marks)


@pytest.mark.parametrize(("law", "cls"), list(_cases()))
def test_law(law, cls):
    law(cls)
