"""The gradient-testing kit: is this gradient right, and if not, what is wrong with it?

``check_gradients`` judges the gradient of a function: autodiff's, a hand-written one, or another framework's.
``check_rule`` judges one operation of the table, ours or a user's. ``diagnose`` says what a wrong gradient looks like.
``strategies``, to be imported by itself, has Hypothesis strategies for operands, shapes, arrays and whole programs.
With pytest, ``check_gradients`` and ``check_rule`` are also fixtures.

>>> import autodiff.testing
>>> print(autodiff.testing.check_gradients(lambda x: x * x, 3.0))
<lambda>: right (2 derivatives compared; largest error 0, gradient by argument 0 (x))
"""

from .check import check_gradients
from .diagnose import MISTAKES, Diagnosis, Explanation, diagnose
from .numeric import Estimate, derivative
from .programs import Program, Step
from .report import Comparison, Reference, Report
from .rule import check_rule

__all__ = [
    "MISTAKES",
    "Comparison",
    "Diagnosis",
    "Estimate",
    "Explanation",
    "Program",
    "Reference",
    "Report",
    "Step",
    "check_gradients",
    "check_rule",
    "derivative",
    "diagnose",
]
