"""Drawings: what is in them, that text stays text, and that a file comes out."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autodiff import Tensor, Value, compile, elementwise, weighted_sum
from autodiff.draw import draw_dot, render

SVG = "{http://www.w3.org/2000/svg}"


def lecture():
    a, b = Value(2.0), Value(1.0)
    c = a + b
    d = b + 1
    e = c * d
    e.backward()
    return e, {"a": a, "b": b, "c": c, "d": d, "e": e}


def svg(picture):
    """Render a drawing and return the root of its XML."""
    return ET.fromstring(picture.pipe(format="svg", encoding="utf-8"))


def texts(picture):
    """Return what a reader sees."""
    return [t.text.replace("\N{NO-BREAK SPACE}", " ") if t.text else "" for t in svg(picture).iter(f"{SVG}text")]


def edges(picture):
    return re.findall(r"^\t(\w+) -> (\w+)", picture.source, re.MULTILINE)


def dangers(tree):
    """Return everything in an SVG that could do something."""
    found = []
    for element in tree.iter():
        kind = element.tag.rpartition("}")[2].lower()
        if kind not in {"svg", "g", "title", "text", "polygon", "polyline", "path", "ellipse"}:
            found.append(kind)
        for name, value in element.attrib.items():
            name = name.rpartition("}")[2].lower()
            if name.startswith("on") or name == "href" or "javascript:" in value.lower() or "url(" in value.lower():
                found.append(f"{name}={value}")
    return found


def test_a_box_shows_name_data_and_gradient():
    e, names = lecture()
    shown = texts(draw_dot(e, names=names))
    for name, data, grad in [("a", 2, 2), ("b", 1, 5), ("c", 3, 2), ("d", 2, 3), ("e", 6, 1)]:
        at = shown.index(name)
        assert shown[at : at + 3] == [name, f"data {data}.0000", f"grad {grad}.0000"]
    assert {"+", "*", "1"} <= set(shown)


def test_the_source_is_a_graphviz_digraph():
    import graphviz

    picture = draw_dot(lecture()[0])
    assert isinstance(picture, graphviz.Digraph)
    assert picture.format == "svg"
    assert "rankdir=LR" in picture.source
    assert "rankdir=TB" in draw_dot(lecture()[0], rankdir="TB").source


def test_an_operand_used_twice_has_two_edges():
    a = Value(3.0)
    assert edges(draw_dot(a * a)) == [("op1", "n1"), ("n0", "op1"), ("n0", "op1")]


def test_a_constant_has_its_own_box_at_its_own_side():
    picture = draw_dot(2 - Value(3.0))
    assert edges(picture) == [("op1", "n1"), ("c1_0", "op1"), ("n0", "op1")]
    assert "2" in texts(picture)


def test_a_leaf_alone_can_be_drawn():
    assert texts(draw_dot(Value(1.5, name="x"))) == ["x", "data 1.5000", "grad 0.0000"]


def test_a_weighted_sum_puts_each_weight_beside_its_input():
    b, w, x = Value(0.5), [Value(2.0), Value(3.0)], [Value(4.0), 5.0]
    picture = draw_dot(weighted_sum(b, *w, *x))
    sources = [source for source, target in edges(picture) if target == "op4"]
    labels = re.findall(r"n\d \[label=\"?\{data\\ (\d\.\d)", picture.source)
    data = dict(zip(("n0", "n1", "n2", "n3"), labels, strict=False))
    assert [data.get(source, source) for source in sources] == ["0.5", "2.0", "4.0", "3.0", "c4_4"]
    assert re.findall(r"-> op4 \[label=(\w)", picture.source) == ["b", "w", "x", "w", "x"]


def test_a_tensor_shows_its_shape_and_a_summary():
    w = Tensor(np.arange(6.0).reshape(2, 3), name="w")
    shown = texts(draw_dot((w * np.ones(3, dtype=np.float32)).sum(axis=0)))
    assert shown[:4] == ["w", "shape (2, 3)", "data 0 to 5, mean 2.5", "grad none"]
    assert any("axis=0" in text for text in shown)
    assert "(3,)  [1, 1, 1]" in shown


def test_float32_is_said():
    assert texts(draw_dot(Tensor(np.ones(2, dtype=np.float32))))[0] == "shape (2,) float32"


def test_a_gradient_that_was_taken_away_is_none():
    x = Value(1.0)
    x.grad = None
    assert texts(draw_dot(x)) == ["data 1.0000", "grad none"]


def test_a_drawing_is_the_same_in_every_run():
    e, names = lecture()
    again, other = lecture()
    assert draw_dot(e, names=names).source == draw_dot(again, names=other).source


def test_more_than_500_nodes_need_permission():
    x = Value(1.0)
    for _ in range(500):
        x = x + 1.0
    with pytest.raises(ValueError, match=r"501 nodes.*max_nodes=501"):
        draw_dot(x)
    assert draw_dot(x, max_nodes=501).source.count("shape=record") == 501
    with pytest.raises(ValueError, match="2 nodes, more than the 1"):
        draw_dot(Value(1.0) + 1, max_nodes=1)


def test_a_long_chain_is_drawn_under_a_low_recursion_limit():
    code = """if True:
        import sys
        from autodiff import Value
        from autodiff.draw import draw_dot
        import graphviz
        x = Value(1.0)
        for _ in range(5000):
            x = x + 1.0
        sys.setrecursionlimit(200)
        print(draw_dot(x, max_nodes=10_000, names={"x": [x]}).source.count("shape=record"))
    """
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "5001\n"


def test_wrong_arguments_say_what_is_right():
    with pytest.raises(TypeError, match=r"got float: 2\.0"):
        draw_dot(2.0)
    with pytest.raises(ValueError, match="LR, TB, RL, BT, got 'left'"):
        draw_dot(Value(1.0), rankdir="left")


# ---- text of the user -------------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "<b>x</b>",
    "{a|b}",
    "\\N \\G \\l \\",
    'a" ] evil [label="x',
    "&#8706; &amp; &lt;",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "]]> <!-- --> <?xml ?>",
    "日本語 😀 é σ",
]


@pytest.mark.promise(27)
@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_text_is_shown_as_it_is(label, figure):
    shown = texts(draw_dot(Value(1.0, name=label)))
    assert shown[0].strip() == label
    figure("hostile text shown as it is")


@pytest.mark.promise(27)
@settings(max_examples=200)
@given(st.text(st.characters(), min_size=1, max_size=50))
@example("\x00")
@example("\ud800")
@example("\ufffe\uffff\x0b\x1f\x85\u2028")
@example("%s %n\r\n\t")
def test_any_label_gives_dot_that_parses_and_svg_that_does_nothing(figure, label):
    root = Value(1.0, name=label) * Value(2.0) + Value(3.0)
    picture = draw_dot(root, names={label: root})
    tree = svg(picture)  # graphviz parsed the DOT and expat the XML
    assert dangers(tree) == []
    assert len(edges(picture)) == 6
    assert len([g for g in tree.iter(f"{SVG}g") if g.get("class") == "node"]) == 7
    assert len([g for g in tree.iter(f"{SVG}g") if g.get("class") == "edge"]) == 6
    figure("label in DOT that parses and SVG that does nothing")


@pytest.mark.promise(27)
def test_an_operation_with_a_hostile_symbol_is_harmless():
    evil = elementwise("evil", lambda x: x, lambda x: x, 1.0, symbol="<script>{|}\\")
    tree = svg(draw_dot(evil(Value(1.0))))
    assert dangers(tree) == []
    assert "<script>{|}\\" in [t.text for t in tree.iter(f"{SVG}text")]


# ---- files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("jpg", b"\xff\xd8"), ("dot", b"digraph")]
)
def test_render_writes_the_format_of_the_suffix(tmp_path, suffix, start):
    path = render(lecture()[0], tmp_path / f"picture.{suffix}")
    assert path.read_bytes().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_render_takes_a_drawing_and_a_format(tmp_path):
    path = render(draw_dot(Value(1.0)), str(tmp_path / "picture"), format="PNG")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_render_passes_options_on(tmp_path):
    x = Value(2.0)
    assert b">two<" in render(x, tmp_path / "x.svg", names={"two": x}).read_bytes()


def test_render_asks_for_a_format_it_knows(tmp_path):
    with pytest.raises(ValueError, match=r"end it in \.svg or \.png"):
        render(Value(1.0), tmp_path / "picture.exe")


def test_metadata_too_long_to_read_are_left_out():
    x = Tensor(np.arange(50.0))
    shown = draw_dot(x[np.arange(50)[::-1]]).source
    assert "index" not in shown
    assert "[ ]" in shown
    assert "index=(slice(None, 2, None),)" in draw_dot(x[:2]).source
    compiled = compile(lambda x: (x.tanh() * x).sum())
    assert len(draw_dot(compiled(x)).source) < 2000
