"""The promises, in few words. A test says which of them it holds with the mark `pytest.mark.promise(number, ...)`."""

from __future__ import annotations

from typing import NamedTuple


class Promise(NamedTuple):
    """What is promised, and whether in numbers, which every test of it then measures."""

    text: str
    in_numbers: bool = False


PROMISES = {
    # correct
    1: Promise("Every registered operation is tested, by walking the registry: one without cases fails the suite."),
    2: Promise(
        "First derivatives have a relative error of at most 1e-12 against the complex step where it applies, and of "
        "1e-7 against a six-point difference elsewhere, on at least 200 drawn examples an operation.",
        in_numbers=True,
    ),
    3: Promise(
        "Second derivatives are within 1e-6 and third within 1e-4 of the differences of our own next lower order; "
        "Hessians are symmetric to 1e-12.",
        in_numbers=True,
    ),
    4: Promise(
        "On random programs drawn from the whole registry, with shared nodes, repeated arguments, constants and "
        "broadcasting, reverse mode equals forward mode to 1e-10, and on small ones the sum over all paths.",
        in_numbers=True,
    ),
    5: Promise(
        "Value and Tensor agree on the same program to 2 units in the last place; a float and a 0-d array never "
        "behave differently.",
        in_numbers=True,
    ),
    6: Promise(
        "Pullbacks are linear, give zero for zero and the same bits every time, and are the transpose of forward "
        "mode: <t, vjp(g)> = <jvp(t), g> to 1e-12.",
        in_numbers=True,
    ),
    7: Promise(
        "Gradients have the shape and dtype of their input; float32 stays float32 through a network and ten steps of "
        "an optimizer."
    ),
    8: Promise("At every kink and edge the derivative is the documented convention, for every row of its table."),
    9: Promise(
        "Stable functions are within 4 units in the last place of 50-digit arithmetic for |x| <= 700, their gradients "
        "within 1e-13 wherever these exceed 1e-300, and everything is finite at +-1e4.",
        in_numbers=True,
    ),
    10: Promise("Value, shape and kind of error are NumPy's for every operation, axis, keepdims and shape."),
    # robust
    11: Promise(
        "A chain of a million nodes is built, differentiated and freed under a recursion limit of 200, at no more than "
        "256 bytes a node beyond its float; so is a sum of a million leaves. repr stays one line. A leaf can always be "
        "copied and pickled; a whole graph is refused with an error that says what to save instead.",
        in_numbers=True,
    ),
    12: Promise(
        "Time is linear in the graph: backward of twice the nodes takes at most 2.5 times as long, doubling a number "
        "sixty times takes sixty steps, and backward costs at most four forwards.",
        in_numbers=True,
    ),
    13: Promise(
        "Memory returns without the cyclic collector: 1,000 training steps leave at most 64 KiB more than 100 do.",
        in_numbers=True,
    ),
    14: Promise("Inputs, upstream gradients and arrays of the user are never changed, and no result aliases them."),
    15: Promise("Data that was rebound after its use is detected; what is not detected is documented."),
    16: Promise(
        "Backward twice, on a non-scalar, on a constant, under no_grad and after an exception: five defined behaviours."
    ),
    17: Promise("An exception in any rule leaves every grad as it was and the engine usable."),
    18: Promise(
        "Derivatives taken by 8 threads, 1,000 calls each, are bit for bit the serial ones; the grad mode belongs to "
        "its context."
    ),
    19: Promise("The same seed gives the same bits in every process, whatever PYTHONHASHSEED is."),
    20: Promise(
        "detect_anomaly finds the first operation that gave a nan or inf, with file and line: of at least 20 planted "
        "faults, all.",
        in_numbers=True,
    ),
    # nn
    21: Promise(
        "Optimizers follow an independent reference for 1,000 steps to 1e-12 and PyTorch's recorded path to 1e-10; "
        "schedules equal their closed forms."
    ),
    22: Promise(
        "Save, load in a new process and continue gives the bits of the uninterrupted run: model, optimizer, schedule, "
        "random generators, position in the data. A process killed while it saves leaves a complete file."
    ),
    23: Promise("Loading is strict and atomic: all differences of all parts are listed at once, and nothing changed."),
    24: Promise("The train and eval modes of dropout and batch norm behave as documented."),
    # safe
    25: Promise(
        "Loading any bytes runs no code, takes at most the file's size and 1 MiB of memory, and ends in success or our "
        "own error: 10,000 mutated files, and one cut short at every byte.",
        in_numbers=True,
    ),
    26: Promise(
        "No eval, exec, pickle or shell in the packages; expressions on the command line go through an allowlist."
    ),
    27: Promise("Any text as a label gives DOT that parses and SVG that can do nothing."),
    # the tests themselves
    28: Promise(
        "At least 40 planted wrong rules are all caught by the public kit with its defaults, with a report that names "
        "the place and both numbers; and 20,000 correct checks raise no alarm.",
        in_numbers=True,
    ),
    29: Promise(
        "Of the mutants of the rule tables at least 95 % are killed; the survivors are listed with reasons.",
        in_numbers=True,
    ),
    30: Promise(
        "At a kink the kit refuses to judge, counts what it skipped, and fails when that is more than 20 % of the "
        "examples.",
        in_numbers=True,
    ),
    31: Promise(
        "Every code block in the README, docstrings and notebooks is executed; warnings are errors; no test is named "
        "twice or lost, and their number is asserted from below."
    ),
}
