"""The tutorial and its parts in PyTorch, NumPy and matplotlib, for comparison.

    torch_reference.py parity RECORDING RESULTS   runs the tutorial, writes all numbers to RESULTS (.npz)
    torch_reference.py bonus RECORDING RESULTS    the same for the bonus notebook, with what it prints
    torch_reference.py serve                      measures what is asked on stdin, line by line
    torch_reference.py golden FILE                writes helpers/tests/data/torch.json
"""

import io
import json
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


def layers(*sizes, seed=1):
    torch.manual_seed(seed)
    parts = []
    for n_inputs, n_outputs in zip(sizes, sizes[1:]):
        parts += [nn.ReLU(), nn.Linear(n_inputs, n_outputs)]
    return nn.Sequential(*parts[1:])


def descend(net, loss_fn, x, y, n_epochs, learning_rate, test=None, penalty=lambda: 0):
    """Gradient descent; the losses on the training set and on the test set, before each update."""
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate)
    losses, test_losses = [], []
    for _ in range(n_epochs):
        if test:
            with torch.no_grad():
                test_losses.append((loss_fn(net(test[0]), test[1]) + penalty()).item())
        loss = loss_fn(net(x), y) + penalty()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, test_losses


def circular_error(decoded, stimuli):
    return ((decoded.double() - stimuli.double() + 180) % 360 - 180).abs().mean().item()


def smooth(resp, sigma):
    """A Gaussian over rows, which are continued in mirror image."""
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(resp, ((reach, reach), (0, 0)), mode="symmetric")
    weights = kernel / kernel.sum()
    return sum(w * padded[i : i + len(resp)] for i, w in enumerate(weights))


def number(x, digits):
    return "NaN" if np.isnan(x) else f"{x:.{digits}f}"


def bonus(path, results):
    resp_all, stimuli_all = load(path)
    x, y, x_test, y_test = split(resp_all, stimuli_all)
    n_neurons, mse = x.shape[1], nn.functional.mse_loss
    lines, found = [], {}

    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    xor = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    for sizes in ([2, 1], [2, 4, 1]):
        net = layers(*sizes)
        descend(net, mse, corners, xor, 2000, 0.1)
        answers = ", ".join(number(a.item(), 2) for a in net(corners))
        lines.append(f"layers {sizes} answer [{answers}]")

    widths, depths = ([1], [2], [5], [10], [20], [40]), ([], [10], [10, 10], [10, 10, 10])
    for hidden, rate in [(h, 1e-4) for h in widths] + [(h, 2e-5) for h in depths]:
        net = layers(n_neurons, *hidden, 1)
        descend(net, mse, x, y, 100, rate)
        train_error, test_error = (mse(net(r), s).item() ** 0.5 for r, s in ((x, y), (x_test, y_test)))
        n_parameters = sum(p.numel() for p in net.parameters())
        lines.append(
            f"hidden layers {hidden}: {n_parameters} parameters, error {number(train_error, 1)} degrees"
            f" in training, {number(test_error, 1)} on the test set"
        )

    net = seeded(10, x)
    mse(net(x), y).backward()
    found["by_hand"] = net.in_layer.weight.grad.numpy().copy()

    runs = [(216, 1e-4, "1e-4", 0, 50), (20, 1e-5, "1e-5", 0, 50), (1, 1e-6, "1e-6", 0, 20)]
    runs += [(20, 1e-5, "1e-5", 0.9, 50)]
    runs += [(20, rate, name, 0, 20) for rate, name in ((1e-5, "1e-5"), (1e-4, "1e-4"), (1e-3, "1e-3"))]
    for batch_size, rate, name, momentum, n_epochs in runs:
        net = seeded(10, x)
        optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=momentum)
        indices = torch.utils.data.TensorDataset(torch.arange(len(x)))
        loader = torch.utils.data.DataLoader(
            indices, batch_size=batch_size, shuffle=True, generator=torch.Generator().manual_seed(1)
        )
        for _ in range(n_epochs):
            for (batch,) in loader:
                loss = mse(net(x[batch]), y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        lines.append(
            f"batches of {batch_size}, rate {name}, momentum {momentum}:"
            f" loss {number(mse(net(x), y).item(), 1)} after {n_epochs} epochs"
        )

    centered, target = x.double() - x.double().mean(0), y.double() - y.double().mean()
    gram = centered @ centered.T
    for ridge in (0, 1, 100, 1000, 10000, 100000):
        if ridge:
            dual = torch.linalg.solve(gram + ridge * torch.eye(len(x), dtype=torch.float64), target)
        else:
            dual = torch.linalg.pinv(gram, rtol=1e-10, hermitian=True) @ target
        weights = centered.T @ dual
        errors = [
            ((r.double() - x.double().mean(0)) @ weights + y.double().mean() - s).square().mean().item()
            for r, s in ((x, y), (x_test, y_test))
        ]
        lines.append(
            f"ridge {ridge:>6}: mean squared error {number(errors[0], 2)} in training,"
            f" {number(errors[1], 2)} on the test set"
        )

    net = seeded(10, x)
    first_w_out = net.out_layer.weight.detach().clone().flatten()
    train(net, x, y)
    out = net(x_test).detach()
    lines.append(f"mean squared error on the test set: {number(mse(out, y_test).item(), 2)}")
    lines.append(f"circular error on the test set: {number(circular_error(out, y_test), 2)} degrees")
    found["out_test"] = out.numpy()
    with torch.no_grad():
        highest = torch.relu(net.in_layer(resp_all)).max(0).values
    for unit in range(10):
        lines.append(
            f"unit {unit}: W_out {number(first_w_out[unit].item(), 3)} at first,"
            f" {number(net.out_layer.weight[0, unit].item(), 3)} after training,"
            f" highest activity {number(highest[unit].item(), 1)}"
        )

    def sin_cos(degrees):
        radians = degrees * (np.pi / 180)
        return torch.cat([radians.sin(), radians.cos()], 1)

    net = layers(n_neurons, 10, 2)
    losses, test_losses = descend(net, mse, x, sin_cos(y), 100, 0.05, (x_test, sin_cos(y_test)))
    found["sin_cos"], found["sin_cos_test"] = losses, test_losses
    out = net(x_test).detach()
    decoded = torch.rad2deg(torch.atan2(out[:, :1], out[:, 1:])) % 360
    lines.append(f"circular error on the test set: {number(circular_error(decoded, y_test), 2)} degrees")

    def nll(out, classes):
        return nn.functional.nll_loss(torch.log_softmax(out, 1), classes)

    classes, classes_test = ((s.squeeze() / 18).long() for s in (y, y_test))
    for l2, l1 in ((0, 0), (1e-2, 5e-4)):
        net = layers(n_neurons, 20, 20)
        w_in = net[0].weight
        penalty = (lambda: l2 * w_in.square().sum() + l1 * w_in.abs().sum()) if l2 else (lambda: 0)
        losses, test_losses = descend(
            net, nll, x, classes, 1000, 0.1, (x_test, classes_test), penalty
        )
        for i in range(200, 1001, 200):
            lines.append(
                f"iteration {i}/1000 | loss: {number(losses[i - 1], 3)}"
                f" | test_loss: {number(test_losses[i - 1], 3)}"
            )
        right = (net(x_test).argmax(1) == classes_test).float().mean().item()
        lines.append(f"fraction correct: {number(right, 3)}")
        name = "sparse" if l2 else "class"
        found[f"{name}_loss"], found[f"{name}_test_loss"] = losses, test_losses

    found["preferred"] = stimuli_all.numpy()[smooth(resp_all.double().numpy(), 5).argmax(0), 0]
    np.savez(results, lines=np.array(lines), torch=torch.__version__, **found)


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
            data["x"], data["y"], _, _ = split(*data["all"])
        net = seeded(int(args[0]), data["x"]) if work == "train" else None
        start = time.perf_counter()
        if work == "train":
            train(net, data["x"], data["y"])
        elif work == "load":
            load(args[0])
        elif work == "bin":
            average_over_bins(*(np.load(args[0])[name] for name in ("resp", "stimuli")), 10)
        elif work == "figure":
            figure(*data["all"])
        print(time.perf_counter() - start, flush=True)


def golden(path):
    """The numbers that the tests of `helpers` expect."""

    def rand(seed, n):
        torch.manual_seed(seed)
        return {"seed": seed, "n": n, "values": torch.rand(n).tolist()}

    def randn(seed, n):
        torch.manual_seed(seed)
        return {"seed": seed, "n": n, "values": [x for k in n for x in torch.randn(k).tolist()]}

    def randperm(seed, n):
        torch.manual_seed(seed)
        return {"seed": seed, "n": n, "values": torch.randperm(n).tolist()}

    def choice(seed, n, k, replace):
        np.random.seed(seed)
        values = np.random.choice(n, k, replace=replace).tolist()
        return {"seed": seed, "n": n, "k": k, "replace": replace, "values": values}

    def linear_init(seed, n_inputs, n_hidden):
        torch.manual_seed(seed)
        net = DeepNetReLU(n_inputs, n_hidden)
        weight = net.in_layer.weight.detach().flatten()
        return {
            "seed": seed, "n_inputs": n_inputs, "n_hidden": n_hidden,
            "in_bias": net.in_layer.bias.tolist(),
            "out_weight": net.out_layer.weight.flatten().tolist(),
            "out_bias": net.out_layer.bias.tolist(),
            "in_weight_sum": weight.double().sum().item(),
            "in_weight_abs_sum": weight.double().abs().sum().item(),
            "in_weight_first": weight[:8].tolist(), "in_weight_last": weight[-8:].tolist(),
        }

    def training(seed, data_seed, n_stimuli, n_inputs, n_hidden, lr, n_epochs):
        torch.manual_seed(data_seed)
        x, y = torch.rand(n_stimuli, n_inputs) * 2 - 0.5, torch.rand(n_stimuli, 1) * 360
        torch.manual_seed(seed)
        net = DeepNetReLU(n_inputs, n_hidden)
        out = net(x)
        nn.functional.mse_loss(out, y).backward()
        gradients = {
            "in_bias": net.in_layer.bias.grad.tolist(),
            "out_weight": net.out_layer.weight.grad.flatten().tolist(),
            "out_bias": net.out_layer.bias.grad.tolist(),
            "in_weight_abs_sum": net.in_layer.weight.grad.double().abs().sum().item(),
        }
        losses, _ = descend(net, nn.functional.mse_loss, x, y, n_epochs, lr)
        return {
            "seed": seed, "data_seed": data_seed, "n_stimuli": n_stimuli, "n_inputs": n_inputs,
            "n_hidden": n_hidden, "lr": lr, "n_epochs": n_epochs,
            "initial_output": out.flatten().tolist(), "first_gradient": gradients, "losses": losses,
        }

    results = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "rand": [rand(1, 8), rand(1234, 20)],
        "randn": [randn(1, [5, 16, 40, 2])],
        "randperm": [randperm(4, 360), randperm(0, 10)],
        "choice": [
            choice(1, 216, 1, True), choice(1, 216, 20, True), choice(4, 23589, 3, False),
            choice(0, 10, 10, False),
        ],
        "linear_init": [linear_init(1, 23589, n) for n in (10, 200)] + [linear_init(1, 7, 3)],
        "train": [training(1, 1001, 50, 64, 10, 2e-4, 60), training(3, 1003, 20, 8, 4, 1e-3, 80)],
    }
    with open(path, "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    work = {"parity": parity, "bonus": bonus, "serve": serve, "golden": golden}
    work[sys.argv[1]](*sys.argv[2:])
