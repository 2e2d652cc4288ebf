"""The list of workloads: who takes part in each, and with what."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace

from . import deep_steps, footprint, scalar_steps, tensor_steps
from .timing import Candidate, Samples, collector_off, measure

CHAIN_LENGTH = 100_000
OWN = ("numpy", "autodiff")


@dataclass(frozen=True)
class Options:
    rounds: int = 11
    seconds: float = 0.05
    peers: bool = True

    def takes(self, module: str) -> bool:
        """Whether this library takes part."""
        return module in OWN or (self.peers and importlib.util.find_spec(module) is not None)


def scalar_mlp(name: str, options: Options) -> list[Samples]:
    import nn
    from autodiff import Value

    ours, floats = scalar_steps.MoonsTraining(nn.MLP, Value), scalar_steps.MoonsTraining(nn.MLP)
    candidates = [
        Candidate("numpy", {"step": scalar_steps.moons_by_hand()}),
        Candidate("autodiff", ours.phases()),
        Candidate("autodiff, inputs left floats", floats.phases()),
        Candidate("autodiff, collector off", ours.phases(), setting=collector_off),
    ]
    if options.takes("micrograd"):
        from micrograd.engine import Value as MicrogradValue
        from micrograd.nn import MLP

        theirs = scalar_steps.MoonsTraining(MLP, MicrogradValue)
        candidates += [
            Candidate("micrograd", theirs.phases()),
            Candidate("micrograd, collector off", theirs.phases(), setting=collector_off),
        ]
    return measure(name, candidates, options.rounds, options.seconds)


def scalar_chain(name: str, options: Options) -> list[Samples]:
    from autodiff import Value

    candidates = [Candidate("autodiff", scalar_steps.Chain(Value, CHAIN_LENGTH).phases())]
    if options.takes("micrograd"):
        from micrograd.engine import Value as MicrogradValue

        chain = scalar_steps.Chain(MicrogradValue, CHAIN_LENGTH).phases()
        candidates += [
            Candidate("micrograd", chain),
            Candidate("micrograd, collector off", chain, setting=collector_off),
        ]
    with scalar_steps.deep_recursion(10 * CHAIN_LENGTH):
        samples = measure(name, candidates, options.rounds, options.seconds)
    return [replace(s, what=f"{s.what} / operation", values=tuple(v / CHAIN_LENGTH for v in s.values)) for s in samples]


def tensor_step(name: str, options: Options) -> list[Samples]:
    """Ours against NumPy twice: alone, as in a user's process, and in turn with the peers.

    The peers change more than the clock shows: with PyTorch loaded the C library keeps freed memory that it would else
    return to the system after every step, and large arrays then come without page faults, for us and for NumPy.
    """
    alone = [_contestant(name, entry) for entry in tensor_steps.ENTRIES if entry.module in OWN]
    samples = measure(name, alone, options.rounds, options.seconds, "step, alone")
    others = [entry for entry in tensor_steps.ENTRIES if entry.module not in OWN and options.takes(entry.module)]
    if others:
        everybody = alone + [_contestant(name, entry) for entry in others]
        samples += measure(name, everybody, options.rounds, options.seconds)
    return samples


def _contestant(name: str, entry: tensor_steps.Entry) -> Candidate:
    """Ready to be timed, after it was seen to compute what NumPy by hand computes."""
    problem = tensor_steps.PROBLEMS[name]
    error = tensor_steps.disagreement(problem, entry.contestant(problem))
    if not error <= entry.tolerance:
        raise RuntimeError(f"{name}: {entry.name} does not compute what NumPy by hand does; error {error:.1e}")
    return Candidate(entry.name, {"step": entry.contestant(problem).step}, entry.setting)


def deep_step(name: str, options: Options) -> list[Samples]:
    """Ours against NumPy by hand alone, as in a user's process, and in turn with PyTorch."""
    if not (error := deep_steps.disagreement(name)) <= 1e-10:
        raise RuntimeError(f"{name}: autodiff does not compute what NumPy by hand does; error {error:.1e}")

    def candidates(*, peers: bool) -> list[Candidate]:
        found = deep_steps.contestants(name, peers=peers)
        return [Candidate(who, {"step": contestant.step}) for who, contestant in found.items()]

    samples = measure(name, candidates(peers=False), options.rounds, options.seconds, "step, alone")
    if options.takes("torch"):
        samples += measure(name, candidates(peers=True), options.rounds, options.seconds)
    return samples


def import_time(name: str, options: Options) -> list[Samples]:
    return footprint.import_times(name, options.rounds)


def node_memory(name: str, options: Options) -> list[Samples]:
    from autodiff import Value

    def figure(implementation: str, what: str, bytes_: float) -> Samples:
        return Samples(name, implementation, what, (bytes_,), "B")

    samples = [
        figure("autodiff", "built", footprint.bytes_per_node(Value, CHAIN_LENGTH)),
        figure("autodiff", "after backward", footprint.bytes_per_node(Value, CHAIN_LENGTH, backward=True)),
    ]
    if options.takes("micrograd"):
        from micrograd.engine import Value as MicrogradValue

        samples.append(figure("micrograd", "built", footprint.bytes_per_node(MicrogradValue, CHAIN_LENGTH)))
    return samples


WORKLOADS: dict[str, Callable[[str, Options], list[Samples]]] = {
    "scalar-mlp": scalar_mlp,
    "scalar-chain": scalar_chain,
    **dict.fromkeys(tensor_steps.PROBLEMS, tensor_step),
    **dict.fromkeys(deep_steps.PROBLEMS, deep_step),
    "import-time": import_time,
    "node-memory": node_memory,
}


def run(name: str, options: Options) -> list[Samples]:
    """Measure one workload in this process."""
    return WORKLOADS[name](name, options)
