"""A function that counts its calls: what nfev and njev are held against."""


class Counted:
    """A function that counts its calls and can raise at one of them."""

    def __init__(self, function, raise_at=None, error=None):
        self.function, self.calls, self.raise_at, self.error = function, 0, raise_at, error

    def __call__(self, *args):
        self.calls += 1
        if self.calls == self.raise_at:
            raise self.error
        return self.function(*args)
