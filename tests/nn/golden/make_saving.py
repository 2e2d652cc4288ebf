"""Record a network of PyTorch's (2.13) as its users save it, with safetensors.torch (0.8), and what it computes.

    python tests/nn/golden/make_saving.py

writes torch_network.safetensors beside it, the state dict alone, and torch_outputs.safetensors, inputs and outputs in
evaluation mode, both in float32, PyTorch's default; and torch_bfloat16.safetensors, numbers that NumPy does not have.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Linear(3, 5),
    torch.nn.BatchNorm1d(5),
    torch.nn.Tanh(),
    torch.nn.Dropout(0.5),
    torch.nn.Linear(5, 2),
    torch.nn.LayerNorm(2),
)
net(torch.randn(7, 3))  # moves the running estimates
x = torch.randn(4, 3)
save_file(net.state_dict(), HERE / "torch_network.safetensors", {"format": "pt"})
with torch.no_grad():
    save_file({"x": x, "y": net.eval()(x)}, HERE / "torch_outputs.safetensors", {"format": "pt"})
    save_file({"weight": x.bfloat16()}, HERE / "torch_bfloat16.safetensors", {"format": "pt"})
