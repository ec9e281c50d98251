"""What a converter says when a format cannot express an endpoint."""


class Refused(Exception):
    """`ops` are the operations that the format lacks, if they are known."""

    def __init__(self, message: str, ops=()):
        super().__init__(message)
        self.ops = sorted(set(ops))
