"""What every test may rely on."""

import signal


def pytest_configure(config):
    """Let Ctrl-C work: a shell that runs the suite in the background has it ignored, for all its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
