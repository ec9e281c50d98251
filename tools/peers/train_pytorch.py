"""Training steps of a GatedPixelCNN or a WaveNet of a given size in plain PyTorch, layer by layer those of `ar_zoo`.

`tools/measure_training.py` runs it. Way "eager" keeps PyTorch's order of axes, "channels_last" the one that its CPU kernels
like (images alone), "compiled" runs through `torch.compile`.
"""

import json
import sys

import numpy as np
import torch
import torch.nn.functional as F
from rounds import resident_mb, rows_of, serve, timed
from torch import nn


def gated(y):
    a, b = y.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


class WaveNet(nn.Module):
    def __init__(self, num_symbols, num_stacks, layers_per_stack, units, gate_units, skip_units, kernel_size):
        super().__init__()
        self.units, self.lookback = units, kernel_size - 1
        self.embed = nn.Embedding(num_symbols + 1, units)
        self.dilations = [2**i for _ in range(num_stacks) for i in range(layers_per_stack)]
        self.convs = nn.ModuleList(nn.Conv1d(units, 2 * gate_units, kernel_size, dilation=d) for d in self.dilations)
        self.wirings = nn.ModuleList(nn.Conv1d(gate_units, units + skip_units, 1) for _ in self.dilations)
        self.hidden, self.output = nn.Conv1d(skip_units, skip_units, 1), nn.Conv1d(skip_units, num_symbols, 1)

    def forward(self, x):
        x = self.embed(F.pad(x + 1, (1, 0))[:, :-1]).transpose(1, 2)  # 0 is the start
        skips = 0.0
        for conv, wiring, dilation in zip(self.convs, self.wirings, self.dilations, strict=True):
            both = wiring(gated(conv(F.pad(x, (self.lookback * dilation, 0)))))
            x, skips = x + both[:, : self.units], skips + both[:, self.units :]
        return self.output(F.relu(self.hidden(F.relu(skips))))


class GatedLayer(nn.Module):
    """Kernels without the taps that a mask would hide."""

    def __init__(self, channels, units, kernel_size, first):
        super().__init__()
        self.first, self.left, self.units = first, kernel_size // 2, units
        self.above = nn.Conv2d(channels, 2 * units, (self.left + (not first), kernel_size))
        self.row = nn.Conv2d(channels, 2 * units, (1, self.left + (not first)))
        self.link, self.wiring = nn.Conv2d(2 * units, 2 * units, 1), nn.Conv2d(units, 2 * units, 1)

    def forward(self, v, h):
        left = self.left
        v = self.above(F.pad(v[:, :, :-1] if self.first else v, (left, left, left, 0)))
        row = self.row(F.pad(h[..., :-1] if self.first else h, (left, 0, 0, 0)))
        both = self.wiring(gated(row + self.link(v)))
        residual, skip = both[:, : self.units], both[:, self.units :]
        return gated(v), residual if self.first else h + residual, skip


class GatedPixelCNN(nn.Module):
    def __init__(self, num_symbols, num_layers, units, input_kernel_size, kernel_size):
        super().__init__()
        self.num_symbols = num_symbols
        sizes = [(2, units, input_kernel_size, True)] + [(units, units, kernel_size, False)] * num_layers
        self.layers = nn.ModuleList(GatedLayer(*size) for size in sizes)
        self.hidden, self.output = nn.Conv2d(units, units, 1), nn.Conv2d(units, num_symbols, 1)

    def forward(self, x):
        v = h = torch.stack([x * (2 / (self.num_symbols - 1)) - 1, torch.ones_like(x, dtype=torch.float32)], 1)
        skips = 0.0
        for layer in self.layers:
            v, h, skip = layer(v, h)
            skips = skips + skip
        return self.output(F.relu(self.hidden(F.relu(skips))))


def main():
    asked, before_mb = json.loads(sys.argv[1]), resident_mb()
    torch.set_num_threads(asked["threads"])
    torch.manual_seed(0)
    model = {"wavenet": WaveNet, "gated_pixel_cnn": GatedPixelCNN}[asked["family"]](**asked["size"])
    if asked["way"] == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    forward = torch.compile(model) if asked["way"] == "compiled" else model
    optimizer = torch.optim.AdamW(model.parameters(), asked["learning_rate"], weight_decay=asked["weight_decay"])
    data = torch.from_numpy(np.load(asked["data"]).astype("int64"))
    data = data[..., 0] if data.ndim == 4 else data

    def step(taken):
        x = data[rows_of(taken, asked["batch"], len(data))]
        loss = F.cross_entropy(forward(x), x)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), asked["clip_norm"])
        optimizer.step()
        return loss.detach()

    run = timed(step)
    run(3)
    weights = sum(weight.numel() for weight in model.parameters())
    serve(run, {"version": f"torch {torch.__version__}, {asked['way']}", "weights": weights, "before_mb": before_mb})


if __name__ == "__main__":
    main()
