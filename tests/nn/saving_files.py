"""Files that nobody means well with: headers made to take memory, time or the stack, and random damage."""

import json
import math
import re

import numpy as np
from safetensors.numpy import save as to_bytes


def file_of(header, data=b""):
    """Return the bytes of a file with this header, which is JSON, text or bytes."""
    if isinstance(header, dict):
        header = json.dumps(header)
    header = header.encode() if isinstance(header, str) else header
    return len(header).to_bytes(8, "little") + header + data


def entry(dtype="F64", shape=(0,), start=0, end=0):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def with_text(text):
    """Return a file with nothing in it but our text."""
    return to_bytes({}, {"autodiff": text})


def with_extra(extra, **arrays):
    """Return a file of ours whose extras are this text of JSON."""
    text = '{"version":1,"model":false,"parts":{},"random":{},"extra":{"x":' + extra + "}}"
    return to_bytes(arrays, {"autodiff": text})


def many(n, make):
    return "{" + ",".join(make(i) for i in range(n)) + "}"


def tiny_arrays(n, shape="[0]", width=6):
    shape = shape.replace(" ", "")
    return file_of(many(n, lambda i: f'"{i:0{width}x}":{{"dtype":"F64","shape":{shape},"data_offsets":[0,0]}}'))


def memory_files():
    """Yield (name, bytes) of files that try to take more memory than they have bytes.

    Sizes are below, at and far above what is let through.
    """
    wide = "\U0001f600"
    for n in (1000, 1200, 1400, 20_000):
        yield f"{n} arrays without elements", tiny_arrays(n)
        yield f"{n} arrays with long names", tiny_arrays(n, width=900)
    for n in (150, 300, 2000):
        yield f"{n} arrays of 64 axes", tiny_arrays(n, str([0] + [1] * 63))
        yield f"{n} arrays of long axes", tiny_arrays(n, str([0] * 60 + [1 << 30]))
        names = many(n, lambda i: json.dumps(f"{i}{wide}" + "a" * 500, ensure_ascii=False) + ":" + json.dumps(entry()))
        yield f"{n} arrays with wide names", file_of(names)
    for n in (4000, 16_000, 64_000):
        texts = {
            "lists": "[" + ",".join(["[]"] * n) + "]",
            "dicts": "[" + ",".join(["{}"] * n) + "]",
            "small dicts": "[" + ",".join(['{"a":0}'] * n) + "]",
            "one dict": many(n, lambda i: f'"{i:x}":0'),
            "pairs": '{"@dict":[' + ",".join(f"[{i},0]" for i in range(n)) + "]}",
            "integers": "[" + ",".join(["1000"] * n) + "]",
            "floats": "[" + ",".join(["0.5"] * n) + "]",
            "long floats": "[" + ",".join([str(math.pi)] * n) + "]",
            "marked floats": "[" + ",".join(['{"@float":"7ff8000000000000"}'] * n) + "]",
            "strings": "[" + ",".join(['"ab"'] * n) + "]",
            "one string": json.dumps("a" * n * 10),
            "one wide string": json.dumps(wide + "a" * n * 10),
            "one long integer": json.dumps({"@int": "f" * n * 10}),
            "tuple of a string": json.dumps({"@tuple": "a" * n * 10}),
        }
        for name, text in texts.items():
            yield f"{n} {name} in an extra", with_extra(text)
    for size in (300_000, 1_500_000):
        yield f"{size} bytes of blanks", file_of(" " * size + "{}")
        yield f"{size} bytes of brackets", file_of("[" * size)
        yield f"{size} bytes of a name", file_of('{"' + "a" * size)
        yield f"{size} bytes of escapes in a name", file_of('{"' + "\\n" * (size // 2))
        yield f"{size} bytes of lists as a place", file_of('{"a":{"b":' + "[]," * (size // 3) + "0}}")
        yield f"{size} bytes of other metadata", file_of({"__metadata__": {"a": "b" * size}})
        yield f"{size} bytes of escapes in other metadata", file_of({"__metadata__": {"a": "\n" * (size // 2)}})
        yield (
            f"{size} bytes of names in other metadata",
            file_of({"__metadata__": {f"{i:07}": "" for i in range(size // 13)}}),
        )
        yield f"{size} bytes of wide text", with_text("\\ud83d\\ude00" + "a" * size)
        yield (
            f"{size} bytes of raw wide text",
            file_of(json.dumps({"__metadata__": {"autodiff": wide + "a" * size}}, ensure_ascii=False)),
        )
    for n in (10_000, 300_000):
        yield f"one array of {n}", to_bytes({"a": np.ones(n)})
        yield f"one array of {n} in an extra", with_extra('{"@array":"@a"}', **{"@a": np.ones(n)})
        twice = '[{"@array":"@a"},{"@array":"@a"}]'
        yield f"one array of {n} twice in an extra", with_extra(twice, **{"@a": np.ones(n)})
    yield "a header of 2**63 - 1 bytes", (2**63 - 1).to_bytes(8, "little") + b"{}"
    yield "an array of 2**60 bytes", file_of({"a": entry(shape=(2**57,), end=2**60)})
    yield "an array of 2**62 times nothing", file_of({"a": entry(shape=(0, 2**62))})


# ---- random damage ----

VALUES = ["-1", "0", "1", "9", "1e400", "NaN", "null", "true", '""', "[]", "{}", "[0]", "18446744073709551616", '"F32"']


def flipped(rng, content):
    """Flip a few bits."""
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def flipped_in_the_header(rng, content):
    """Flip a bit in the first bytes, where there is more to break."""
    content[rng.randrange(min(len(content), 300))] ^= 1 << rng.randrange(8)


def inserted(rng, content):
    """Put bytes in, random ones or some of JSON's."""
    at = rng.randrange(len(content) + 1)
    content[at:at] = rng.choice([rng.randbytes(rng.randrange(1, 9)), b'"', b"{", b"}", b",", b"\\", b"[", b"0"])


def deleted(rng, content):
    """Take bytes out."""
    at = rng.randrange(len(content))
    del content[at : at + rng.choice([1, 1, 2, 8, 100])]


def spliced(rng, content, other):
    """Go on with another file in the middle."""
    content[rng.randrange(len(content)) :] = other[rng.randrange(len(other)) :]


def resized(rng, content):
    """Announce a header of another length."""
    length = int.from_bytes(content[:8], "little")
    content[:8] = rng.choice([length - 1, length + 1, 0, 2**63, rng.randrange(2 * length)]).to_bytes(8, "little")


def repeated(rng, content):
    """Write a piece of the file twice."""
    start = rng.randrange(len(content))
    piece = content[start : start + rng.choice([1, 10, 60, 200])]
    content[start:start] = piece


def edited(rng, content):
    """Change a number or a name in the header, or in our text, and leave the rest of the file in order."""
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].decode("utf-8")
    tokens = list(re.finditer(r'\\?"[A-Za-z@_.0-9]+\\?"|-?\d+|true|false|null', header))
    start, end = rng.choice(tokens).span()
    value = rng.choice([*VALUES, rng.choice(tokens)[0], str(rng.randrange(1000))])
    if header[start] == "\\":  # inside our text, where quotes are escaped
        value = value.replace('"', '\\"')
    content[:] = file_of(header[:start] + value + header[end:], bytes(content[8 + length :]))


def reweighted(rng, content):
    """Change bytes of the arrays: still a good file."""
    start = 8 + int.from_bytes(content[:8], "little")
    if start < len(content):
        content[rng.randrange(start, len(content))] = rng.randrange(256)


DAMAGES = [flipped, flipped_in_the_header, inserted, deleted, resized, repeated, edited, edited, reweighted]


def damaged(rng, sources):
    """Return a damaged copy of one of several files."""
    content, other = bytearray(rng.choice(sources)), rng.choice(sources)
    if rng.random() < 0.1:
        spliced(rng, content, other)
    else:
        rng.choice(DAMAGES)(rng, content)
    return bytes(content)
