"""Walking a graph: order and ancestors, over anything that has parents, without recursion."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from autodiff import Tensor, Value
from autodiff.graph import ancestors, topological_order


class Vertex:
    """The least that can be walked."""

    def __init__(self, *parents):
        self.parents = parents


@st.composite
def graphs(draw):
    """Draw vertices of which each has up to three earlier ones as parents, also the same twice."""
    vertices = []
    for _ in range(draw(st.integers(1, 25))):
        count = draw(st.integers(0, 3)) if vertices else 0
        vertices.append(Vertex(*(draw(st.sampled_from(vertices)) for _ in range(count))))
    return vertices


def reachable(roots):
    """Return what the roots depend on, themselves included, by repeated steps."""
    found = set(roots)
    while more := {p for v in found for p in v.parents} - found:
        found |= more
    return found


@given(graphs(), st.data())
def test_every_node_comes_once_and_after_its_parents(vertices, data):
    roots = data.draw(st.lists(st.sampled_from(vertices), min_size=1, max_size=3))
    order = topological_order(*roots)
    assert len(order) == len(set(order))
    assert set(order) == reachable(roots)
    place = {v: i for i, v in enumerate(order)}
    assert all(place[p] < place[v] for v in order for p in v.parents)


@given(graphs())
def test_ancestors_are_all_that_a_node_depends_on_but_not_itself(vertices):
    for v in vertices:
        assert ancestors(v) == reachable([v]) - {v}


def test_constants_are_no_parents():
    a = Tensor([1.0, 2.0])
    b = 2.0 * a
    assert [id(x) for x in topological_order(b)] == [id(a), id(b)]  # == on Tensors is elementwise


def test_several_roots_share_one_walk():
    a = Value(1.0)
    b, c = a + 1, a * 2
    order = topological_order(b, c)
    assert order[0] is a
    assert set(order) == {a, b, c}


def test_a_lone_leaf_is_its_own_order():
    a = Value(1.0)
    assert topological_order(a) == [a]
    assert ancestors(a) == set()


def test_a_diamond_of_sixty_doublings_is_walked_once_a_node():
    """There are 2**60 paths; a walk along paths would not end."""
    x = Value(1.0)
    for _ in range(60):
        x = x + x
    assert len(topological_order(x)) == 61
    x.backward()
    assert topological_order(x)[0].grad == 2.0**60


def test_a_long_chain_is_walked_under_a_small_recursion_limit():
    chain = Vertex()
    for _ in range(100_000):
        chain = Vertex(chain)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        order = topological_order(chain)
    finally:
        sys.setrecursionlimit(limit)
    assert len(order) == 100_001
    assert order[-1] is chain
    while chain.parents:  # freed link by link: Python frees a chain of plain objects recursively
        (chain,) = chain.parents
