#!/usr/bin/env python3
"""Time a dense product in PyTorch, [12800, 700] x [700, 1024]: what this machine gives at best. Prints one JSON line."""
import argparse, json, time
import torch

p = argparse.ArgumentParser()
p.add_argument("--threads", type=int, default=2)
a = p.parse_args()
torch.set_num_threads(a.threads)
x, w = torch.rand(12800, 700), torch.rand(700, 1024)
times = []
for _ in range(12):
    start = time.perf_counter()
    x @ w
    times.append(time.perf_counter() - start)
median = sorted(times[2:])[5]
print(json.dumps({"threads": a.threads, "gflops": round(2 * 12800 * 700 * 1024 / median / 1e9, 1)}))
