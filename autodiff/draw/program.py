"""The program that turns DOT into a picture: a system's ``dot``, or the one that ``graphviz-pure`` brings."""

import functools
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SUFFIXES", "drawing_class"]

BUILT_IN = ("svg", "png", "jpg", "jpeg", "json", "dot", "gv")
SUFFIXES = (*BUILT_IN, "pdf", "eps", "ps", "webp")
"""The formats that ``render`` writes. Those after BUILT_IN need a system's Graphviz."""


def pure_program() -> "Path | None":
    """Where pip has put the program of ``graphviz-pure``; it need not be on PATH.

    >>> program = pure_program()
    >>> program is None or program.stem == "graphviz-pure"
    True
    """
    from importlib import metadata  # here and below: these would take a third of the time of `import autodiff`
    from pathlib import Path

    try:
        files = metadata.files("graphviz-pure") or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).resolve() for file in files if file.stem == "graphviz-pure"), None)


def choose_program(kind: str) -> None:
    """Make the graphviz package run a program that exists.

    Its own setting if somebody changed it, else a system's ``dot``, else the program of ``graphviz-pure``.

    Raises ImportError if there is none, ValueError if only a system's could write this format.
    """
    import shutil
    from pathlib import Path

    from graphviz.backend import dot_command

    pure = pure_program()
    if Path("dot") == dot_command.DOT_BINARY and shutil.which("dot") is None:
        if pure is None or not pure.exists():
            raise ImportError(
                "there is no Graphviz on this machine to draw with; pip install graphviz-pure, or install Graphviz"
            )
        dot_command.DOT_BINARY = pure
    if pure == dot_command.DOT_BINARY and kind not in BUILT_IN:
        raise ValueError(f"{kind!r} needs an installed Graphviz; graphviz-pure draws svg, png and jpg")


@functools.cache
def drawing_class() -> Any:
    """The class of our pictures, a ``graphviz.Digraph``; made when first needed, because it loads graphviz.

    Raises ImportError, with the command that helps, if the graphviz package is missing.
    """
    try:
        import graphviz
    except ImportError as error:
        raise ImportError("drawing needs the graphviz package; pip install graphviz graphviz-pure") from error

    class Drawing(graphviz.Digraph):  # type: ignore[misc]  # graphviz has no type information
        """A Digraph that finds a program to draw it with, and does not repeat that program's remarks about fonts."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**{"format": "svg", **options})

        def pipe(self, format: str | None = None, *args: Any, **options: Any) -> Any:
            """As Digraph.pipe, quietly."""
            choose_program(format or self.format)
            return super().pipe(format, *args, **{"quiet": True, **options})

        def render(self, *args: Any, **options: Any) -> Any:
            """As Digraph.render, quietly."""
            outfile = options.get("outfile")
            suffix = os.path.splitext(outfile)[1].removeprefix(".") if outfile else ""  # noqa: PTH122  # see above
            choose_program(options.get("format") or suffix or self.format)
            return super().render(*args, **{"quiet": True, **options})

    return Drawing
