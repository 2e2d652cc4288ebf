"""What other libraries computed, recorded by golden/make_golden.py."""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parent / "golden"


def recorded(name):
    """Return the content of one file of recorded numbers."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="ascii"))


def install(net, parameters):
    """Give the parameters of a module the recorded numbers; the names must be the same."""
    own = dict(net.named_parameters())
    assert list(own) == list(parameters)
    for name, numbers in parameters.items():
        own[name].data = np.array(numbers)


def assert_near(got, recorded_numbers, tolerance=1e-10):
    """Two implementations in float64 differ by a few roundings; 1e-10 leaves room for a sum of them, not for a bug."""
    np.testing.assert_allclose(got, np.array(recorded_numbers), rtol=tolerance, atol=tolerance)
