#!/usr/bin/env python3
"""Run a trained network in eager PyTorch (no_grad, eval mode): the peer of bench/inference.js, which starts it.

The weights are those of a run's checkpoint, so that it is the same network. Reads one JSON request per line and answers
with one JSON line:

    {"mode": "sequence", "batch": 1, "first": 0, "count": 20}    count calls, each with the next `batch` utterances
    {"seconds": [...], "classes": [...], "peak_rss_mb": 320}     seconds of each call, class of each utterance

`"mode": "step"` feeds one time step a call and carries the states; its seconds are those of each step. `"mode": "chunk"`
feeds five.

    echo '{"mode": "sequence", "batch": 1, "first": 0, "count": 20}' |
        torch_inference.py --checkpoint runs/NAME/checkpoints/best.safetensors --h5 shd_test.h5 --threads 2
"""
import argparse, json, math, resource, struct, sys, time
import h5py
import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

RANGES = {"alpha": (math.exp(-1 / 5), math.exp(-1 / 25)), "beta": (math.exp(-1 / 30), math.exp(-1 / 120)), "a": (-1.0, 1.0), "b": (0.0, 2.0)}


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    of = lambda t: np.frombuffer(data[slice(*t["data_offsets"])], np.float32).reshape(t["shape"]).copy()
    return {k: torch.from_numpy(of(t)) for k, t in header.items() if k != "__metadata__"}


def load(layer, weights):
    """The projection and its batchnorm; the running statistics' count of batches is of no use here."""
    layer.load_state_dict({k: v for k, v in weights.items() if k.startswith(("W.", "norm."))}, strict=False)


class Layer(nn.Module):
    """LIF and its adaptive and recurrent kin, as in torch_step.py; `weights` says which it is. States go in and come out."""

    def __init__(self, weights):
        super().__init__()
        n, n_in = weights["W.weight"].shape
        self.W, self.norm = nn.Linear(n_in, n, bias=False), nn.BatchNorm1d(n)
        load(self, weights)
        self.c = {k: torch.clamp(weights[k], *RANGES[k]) for k in RANGES if k in weights}
        # Here V multiplies from the right.
        self.V = weights["V.weight"].T.contiguous().fill_diagonal_(0) if "V.weight" in weights else None
        self.adaptive = "beta" in weights
        self.initial = tuple(weights[f"initial.{s}"] for s in "uws" if f"initial.{s}" in weights)

    def start(self, batch):
        u, *w, s = (v.expand(batch, -1) for v in self.initial)
        return u, (w[0] if w else None), s

    def forward(self, x, state):
        B, T, _ = x.shape
        I = self.norm(self.W(x).flatten(0, 1)).view(B, T, -1)
        c, (u, w, s), out = self.c, state, []
        for t in range(T):
            cur = I[:, t]
            if self.V is not None:
                cur = cur + s @ self.V
            if self.adaptive:
                w = c["beta"] * w + c["a"] * u + c["b"] * s
                cur = cur - w
            u = c["alpha"] * (u - s) + (1 - c["alpha"]) * cur
            s = (u - 1.0 > 0).float()
            out.append(s)
        return torch.stack(out, 1), (u, w, s)


class Readout(nn.Module):
    """Leaky integrators and the sum over time of their softmax, which is a state too."""

    def __init__(self, weights):
        super().__init__()
        n, n_in = weights["W.weight"].shape
        self.W, self.norm = nn.Linear(n_in, n, bias=False), nn.BatchNorm1d(n)
        load(self, weights)
        self.alpha, self.initial = torch.clamp(weights["alpha"], *RANGES["alpha"]), weights["initial.u"]

    def start(self, batch):
        return self.initial.expand(batch, -1), torch.zeros(batch, self.initial.shape[1])

    def forward(self, x, state):
        B, T, _ = x.shape
        I = self.norm(self.W(x).flatten(0, 1)).view(B, T, -1)
        a, (u, out) = self.alpha, state
        for t in range(T):
            u = a * u + (1 - a) * I[:, t]
            out = out + F.softmax(u, 1)
        return out, (u, out)


class Net(nn.Module):
    def __init__(self, weights):
        super().__init__()
        of = lambda i: {k.removeprefix(f"snn.{i}."): v for k, v in weights.items() if k.startswith(f"snn.{i}.")}
        count = 1 + max(int(k.split(".")[1]) for k in weights)
        self.layers = nn.ModuleList([Layer(of(i)) for i in range(count - 1)] + [Readout(of(count - 1))])

    def start(self, batch):
        return [layer.start(batch) for layer in self.layers]

    def forward(self, x, states):
        after = []
        for layer, state in zip(self.layers, states):
            x, state = layer(x, state)
            after.append(state)
        return x, after


def utterances(path, count, steps, inputs):
    """The first of a file in the layout of SHD, as sparch bins them: [count, steps, inputs]."""
    with h5py.File(path) as h:
        x, edges = np.zeros((count, steps, inputs), np.float32), np.linspace(0, 1.4, steps)
        for j in range(len(x)):
            t, u = np.digitize(h["spikes/times"][j].astype(np.float64), edges), h["spikes/units"][j]
            np.add.at(x[j], (t[t < steps], u[t < steps]), 1)
    return torch.from_numpy(x)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--checkpoint", required=True)
    p.add_argument("--h5", required=True)
    p.add_argument("--utterances", type=int, default=64, help="how many to go round in")
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_grad_enabled(False)
    net = Net(read_safetensors(a.checkpoint)).eval()
    x = utterances(a.h5, a.utterances, a.steps, net.layers[0].W.in_features)

    def run(mode, batch, first, count):
        seconds, classes = [], []
        for i in range(first, first + count):
            part = x[[k % len(x) for k in range(i * batch, (i + 1) * batch)]]
            states = net.start(batch)
            for chunk in part.split({"sequence": a.steps, "step": 1, "chunk": 5}[mode], 1):
                started = time.perf_counter()
                scores, states = net(chunk, states)
                seconds.append(time.perf_counter() - started)
            classes += scores.argmax(1).tolist()
        return {"seconds": seconds, "classes": classes, "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}

    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


main()
