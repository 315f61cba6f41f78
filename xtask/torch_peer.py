"""The tutorial and its parts in PyTorch, NumPy and matplotlib, for comparison.

    torch_peer.py parity RECORDING RESULTS    runs the tutorial, writes all numbers to RESULTS (.npz)
    torch_peer.py memory RECORDING            loads, trains, prints the peak memory in bytes
    torch_peer.py serve                       measures what is asked on stdin, line by line
"""

import io
import resource
import sys
import time

import numpy as np
import torch
from torch import nn


class DeepNetReLU(nn.Module):
    def __init__(self, n_inputs, n_hidden):
        super().__init__()
        self.in_layer = nn.Linear(n_inputs, n_hidden)
        self.out_layer = nn.Linear(n_hidden, 1)

    def forward(self, r):
        return self.out_layer(torch.relu(self.in_layer(r)))


def average_over_bins(resp, stimuli, bin_width):
    bins = np.digitize(stimuli, np.arange(0, 360 + bin_width, bin_width))
    stimuli = np.array([stimuli[bins == i].mean() for i in np.unique(bins)])
    return np.array([resp[bins == i, :].mean(0) for i in np.unique(bins)]), stimuli


def load(path):
    file = np.load(path)
    to_tensor = lambda x: torch.tensor(x, dtype=torch.float32)
    return to_tensor(file["resp"]), to_tensor(file["stimuli"]).unsqueeze(1)


def split(resp, stimuli):
    torch.manual_seed(4)
    order = torch.randperm(len(resp))
    train, test = order[: int(0.6 * len(resp))], order[int(0.6 * len(resp)) :]
    return resp[train], stimuli[train], resp[test], stimuli[test]


def train(net, x, y, n_epochs=50):
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    losses = []
    for _ in range(n_epochs):
        loss = nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def seeded(n_hidden, x):
    torch.manual_seed(1)
    np.random.seed(1)
    return DeepNetReLU(x.shape[1], n_hidden)


def parity(path, results):
    resp_train, stimuli_train, resp_test, stimuli_test = split(*load(path))
    found = {"stimuli_train": stimuli_train.numpy(), "stimuli_test": stimuli_test.numpy()}
    net = seeded(200, resp_train)
    for i, parameter in enumerate(net.parameters()):
        found[f"initial_{i}"] = parameter.detach().numpy().copy()
    drawn = np.random.choice(len(resp_train), 1)
    found["ori_1"] = stimuli_train[drawn].numpy()
    found["out_1"] = net(resp_train[drawn]).detach().numpy()
    net = seeded(10, resp_train)
    drawn = np.random.choice(len(resp_train), 20)
    found["ori_20"] = stimuli_train[drawn].numpy()
    found["mse_20"] = nn.functional.mse_loss(
        net(resp_train[drawn]), stimuli_train[drawn]
    ).item()
    net = seeded(10, resp_train)
    nn.functional.mse_loss(net(resp_train), stimuli_train).backward()
    for i, parameter in enumerate(net.parameters()):
        found[f"gradient_{i}"] = parameter.grad.numpy().copy()
    found["losses"] = train(net, resp_train, stimuli_train)
    found["mse_test"] = nn.functional.mse_loss(net(resp_test), stimuli_test).item()
    found["torch"] = torch.__version__
    np.savez(results, **found)


def figure(resp, stimuli):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5), dpi=160)
    few = resp[:, :100].T.numpy()
    low, high = np.percentile(few, [1, 99])
    image = left.imshow(few, vmin=low, vmax=high, cmap="pink", aspect="auto")
    fig.colorbar(image, ax=left)
    for neuron in (5, 50, 500):
        right.plot(stimuli.squeeze(), resp[:, neuron], label=f"neuron {neuron}")
    right.legend()
    fig.savefig(io.BytesIO(), format="png")
    plt.close(fig)


def serve():
    """Answers each line `WORK ARGUMENT ...` with the seconds that the work took."""
    data = {}
    for line in sys.stdin:
        work, *args = line.split()
        if work == "data":
            data["all"] = load(args[0])
            data["arrays"] = [np.load(args[0])[name] for name in ("resp", "stimuli")]
            data["x"], data["y"], _, _ = split(*data["all"])
        net = seeded(int(args[0]), data["x"]) if work == "train" else None
        start = time.perf_counter()
        if work == "train":
            train(net, data["x"], data["y"])
        elif work == "load":
            load(args[0])
        elif work == "bin":
            average_over_bins(*data["arrays"], 10)
        elif work == "figure":
            figure(*data["all"])
        print(time.perf_counter() - start, flush=True)


def memory(path):
    x, y, _, _ = split(*load(path))
    train(seeded(10, x), x, y)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    {"parity": parity, "memory": memory, "serve": serve}[sys.argv[1]](*sys.argv[2:])
