"""The least that an installed copy must do: all files are there, and the lecture's derivative is 5."""

from importlib.resources import files

import nn
from autodiff import Value, grad

assert "site-packages" in nn.__file__, f"this is not the installed copy: {nn.__file__}"
assert (files("autodiff") / "py.typed").is_file()
assert any(file.name.endswith(".csv") for file in files("nn").iterdir())

a, b = Value(2.0), Value(1.0)
e = (a + b) * (b + 1)
e.backward()
assert (e.data, a.grad, b.grad) == (6.0, 2.0, 5.0), (e.data, a.grad, b.grad)
assert grad(lambda x: x**3)(2.0) == 12.0

network = nn.MLP(2, [3, 1])
loss = network([1.0, -2.0]) ** 2
loss.backward()
assert any(parameter.grad for parameter in network.parameters()) or loss.data == 0.0
print("smoke: value 6, derivatives 2 and 5, and a network that has gradients")
