from tests.export.families import exported  # noqa: F401
