"""Everything that autodiff raises on purpose.

    AutodiffError
    +-- ShapeError         (ValueError)       shapes that do not fit together
    +-- SeedError          (ValueError)       backward needs a seed, or got one of the wrong shape
    +-- NoGraphError       (RuntimeError)     backward on a node that recorded nothing
    +-- StaleGraphError    (RuntimeError)     data was rebound after the graph had used it
    +-- AnomalyError       (ArithmeticError)  detect_anomaly met a nan, an inf or a changed array
    +-- GraphCopyError     (TypeError)        a node inside a graph was copied or pickled
    +-- RegistrationError  (ValueError)       a primitive's row is not well formed
    +-- CompileError       (RuntimeError)     compile met what cannot be flattened into a program
    +-- GradientError      (AssertionError)   a gradient is wrong (autodiff.testing)
    +-- ExpressionError    (ValueError)       the command line could not read an expression

Each also derives from the built-in exception in brackets, so code that knows nothing of autodiff can
catch it. A plain TypeError is raised where an operand is not a number, an array or a node.
"""


class AutodiffError(Exception):
    """The root of every error that autodiff raises on purpose."""


class ShapeError(AutodiffError, ValueError):
    """Shapes that do not fit together; the message has each of them."""


class SeedError(AutodiffError, ValueError):
    """``backward`` on more than one element needs a seed, and a seed needs the root's shape."""


class NoGraphError(AutodiffError, RuntimeError):
    """``backward`` was called on a node computed under ``no_grad``: nothing was recorded."""


class StaleGraphError(AutodiffError, RuntimeError):
    """A node's ``data`` was rebound after an operation had used it, so its partials are out of date."""


class AnomalyError(AutodiffError, ArithmeticError):
    """The first operation whose output or gradient became nan or inf, under ``detect_anomaly``."""


class GraphCopyError(AutodiffError, TypeError):
    """A node inside a graph cannot be copied or pickled; a leaf can."""


class RegistrationError(AutodiffError, ValueError):
    """A primitive was registered with a row that is not well formed or a name that is taken."""


class CompileError(AutodiffError, RuntimeError):
    """A function cannot be compiled: it reads the numbers themselves, or does not compute the same twice."""


class GradientError(AutodiffError, AssertionError):
    """A gradient differs from its reference, or could not be judged; ``report`` has every comparison."""

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class ExpressionError(AutodiffError, ValueError):
    """An expression on the command line that is not understood; the message has the column."""
