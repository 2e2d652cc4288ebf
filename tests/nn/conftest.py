"""What the comparisons with PyTorch as it is installed share."""

import pytest


@pytest.fixture
def torch():
    """Return PyTorch, computing in float64 by one thread; the test is skipped without it.

    NAdam keeps a number in the default dtype, and for networks as small as those of the tests the threads of PyTorch
    cost more than they compute.
    """
    library = pytest.importorskip("torch", reason="compares with PyTorch as it is installed: pip install torch")
    threads, dtype = library.get_num_threads(), library.get_default_dtype()
    library.set_num_threads(1)
    library.set_default_dtype(library.float64)
    yield library
    library.set_num_threads(threads)
    library.set_default_dtype(dtype)
