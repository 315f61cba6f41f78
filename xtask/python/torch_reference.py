"""The tutorial, its bonus and their parts in PyTorch, NumPy and matplotlib, for comparison.

    torch_reference.py FILE    writes helpers/tests/data/torch.json
"""

import io
import json
import sys

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import log_softmax, mse_loss, nll_loss


def load(path):
    file = np.load(path)
    to_tensor = lambda x: torch.tensor(x, dtype=torch.float32)
    return to_tensor(file["resp"]), to_tensor(file["stimuli"]).unsqueeze(1)


def load_in_bins(path, bin_width):
    file = np.load(path)
    resp, stimuli = file["resp"], file["stimuli"]
    bins = np.digitize(stimuli, np.arange(0, 360 + bin_width, bin_width))
    means = [stimuli[bins == i].mean() for i in np.unique(bins)]
    return np.array([resp[bins == i, :].mean(0) for i in np.unique(bins)]), np.array(means)


def split(resp, stimuli):
    torch.manual_seed(4)
    order = torch.randperm(len(resp))
    train, test = order[: int(0.6 * len(resp))], order[int(0.6 * len(resp)) :]
    return resp[train], stimuli[train], resp[test], stimuli[test]


def layers(*sizes, seed=1):
    """A network of linear layers with ReLUs between them."""
    torch.manual_seed(seed)
    parts = []
    for n_inputs, n_outputs in zip(sizes, sizes[1:]):
        parts += [nn.ReLU(), nn.Linear(n_inputs, n_outputs)]
    return nn.Sequential(*parts[1:])


def seeded(n_hidden, x):
    """The tutorial's network for these responses. Seeds NumPy, too."""
    np.random.seed(1)
    return layers(x.shape[1], n_hidden, 1)


def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def train(net, x, y, n_epochs=50, learning_rate=1e-4):
    return train_and_test(net, mse_loss, x, y, None, n_epochs, learning_rate)[0]


def train_and_test(net, loss_fn, x, y, test, n_epochs, learning_rate):
    """The losses on the training set and on the test set, if there is one, before each update."""
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate)
    losses, test_losses = [], []
    for _ in range(n_epochs):
        if test:
            with torch.no_grad():
                test_losses.append(loss_fn(net(test[0]), test[1]).item())
        loss = loss_fn(net(x), y)
        update(optimizer, loss)
        losses.append(loss.item())
    return losses, test_losses


def train_sgd(x, y, batch_size, learning_rate, momentum, n_epochs):
    """The loss after a training with mini-batches."""
    net = seeded(10, x)
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=momentum)
    indices = torch.utils.data.TensorDataset(torch.arange(len(x)))
    generator = torch.Generator().manual_seed(1)
    loader = torch.utils.data.DataLoader(indices, batch_size, shuffle=True, generator=generator)
    for _ in range(n_epochs):
        for (batch,) in loader:
            update(optimizer, mse_loss(net(x[batch]), y[batch]))
    return mse_loss(net(x), y).item()


def tutorial(path):
    """The lines that the tutorial prints, and numbers of it by name."""
    x, y, x_test, y_test = split(*load(path))
    lines, numbers = [], {"stimuli_train": y, "stimuli_test": y_test}

    net = seeded(200, x)
    numbers |= {f"initial_{i}": parameter for i, parameter in enumerate(net.parameters())}
    drawn = np.random.choice(len(x), 1)
    numbers["ori_1"] = y[drawn]
    lines.append(f"decoded orientation: {net(x[drawn]).item():.2f}")
    lines.append(f"true orientation: {y[drawn].item():.2f}")

    net = seeded(10, x)
    drawn = np.random.choice(len(x), 20)
    numbers["ori_20"] = y[drawn]
    lines.append(f"mean squared error: {mse_loss(net(x[drawn]), y[drawn]).item():.2f}")

    mse_loss(net(x), y).backward()
    numbers |= {f"gradient_{i}": p.grad.clone() for i, p in enumerate(net.parameters())}
    numbers["losses"] = train(net, x, y)
    numbers["mse_test"] = mse_loss(net(x_test), y_test)
    for i in range(10, 51, 10):
        lines.append(f"iteration {i}/50 | loss: {numbers['losses'][i - 1]:.3f}")
    return lines, numbers


def circular_error(decoded, stimuli):
    return ((decoded.double() - stimuli.double() + 180) % 360 - 180).abs().mean().item()


def ridge_regression(x, y, ridge):
    """The function that decodes responses."""
    x, y = x.double(), y.double()
    centered, target = x - x.mean(0), y - y.mean()
    gram = centered @ centered.T
    if ridge:
        dual = torch.linalg.solve(gram + ridge * torch.eye(len(x), dtype=torch.float64), target)
    else:
        dual = torch.linalg.pinv(gram, rtol=1e-10, hermitian=True) @ target
    weights = centered.T @ dual
    return lambda r: (r.double() - x.mean(0)) @ weights + y.mean()


def smooth(resp, sigma):
    """Smooths over rows with a Gaussian. The rows are mirrored at both ends."""
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(resp, ((reach, reach), (0, 0)), mode="symmetric")
    weights = kernel / kernel.sum()
    return sum(w * padded[i : i + len(resp)] for i, w in enumerate(weights))


def to_sin_cos(degrees):
    radians = degrees * (np.pi / 180)
    return torch.cat([radians.sin(), radians.cos()], 1)


def bonus(path):
    """The lines that the bonus notebook prints, and numbers of it by name."""
    resp_all, stimuli_all = load(path)
    x, y, x_test, y_test = split(resp_all, stimuli_all)
    n_neurons = x.shape[1]
    lines, numbers = [], {}

    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    xor = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    for sizes in ([2, 1], [2, 4, 1]):
        net = layers(*sizes)
        train(net, corners, xor, 2000, 0.1)
        answers = ", ".join(f"{a.item():.2f}" for a in net(corners))
        lines.append(f"layers {sizes} answer [{answers}]")

    widths, depths = ([1], [2], [5], [10], [20], [40]), ([], [10], [10, 10], [10, 10, 10])
    for hidden, rate in [(h, 1e-4) for h in widths] + [(h, 2e-5) for h in depths]:
        net = layers(n_neurons, *hidden, 1)
        train(net, x, y, 100, rate)
        lines.append(
            f"hidden layers {hidden}: {sum(p.numel() for p in net.parameters())} parameters,"
            f" error {mse_loss(net(x), y).item() ** 0.5:.1f} degrees in training,"
            f" {mse_loss(net(x_test), y_test).item() ** 0.5:.1f} on the test set"
        )

    net = seeded(10, x)
    mse_loss(net(x), y).backward()
    numbers["gradient_by_hand"] = net[0].weight.grad

    runs = [(216, "1e-4", 0, 50), (20, "1e-5", 0, 50), (1, "1e-6", 0, 20), (20, "1e-5", 0.9, 50)]
    runs += [(20, rate, 0, 20) for rate in ("1e-5", "1e-4", "1e-3")]
    for batch_size, rate, momentum, n_epochs in runs:
        loss = train_sgd(x, y, batch_size, float(rate), momentum, n_epochs)
        lines.append(
            f"batches of {batch_size}, rate {rate}, momentum {momentum}:"
            f" loss {loss:.1f} after {n_epochs} epochs"
        )

    for ridge in (0, 1, 100, 1000, 10000, 100000):
        decode = ridge_regression(x, y, ridge)
        lines.append(
            f"ridge {ridge:>6}: mean squared error {mse_loss(decode(x), y.double()):.2f} in training,"
            f" {mse_loss(decode(x_test), y_test.double()):.2f} on the test set"
        )

    net = seeded(10, x)
    first_w_out = net[2].weight.detach().clone()
    train(net, x, y)
    out = net(x_test)
    numbers["out_test"] = out
    lines.append(f"mean squared error on the test set: {mse_loss(out, y_test).item():.2f}")
    lines.append(f"circular error on the test set: {circular_error(out, y_test):.2f} degrees")
    highest = torch.relu(net[0](resp_all)).max(0).values
    for unit in range(10):
        lines.append(
            f"unit {unit}: W_out {first_w_out[0, unit].item():.3f} at first,"
            f" {net[2].weight[0, unit].item():.3f} after training,"
            f" highest activity {highest[unit].item():.1f}"
        )

    net = layers(n_neurons, 10, 2)
    test = (x_test, to_sin_cos(y_test))
    losses = train_and_test(net, mse_loss, x, to_sin_cos(y), test, 100, 0.05)
    numbers["sin_cos_loss"], numbers["sin_cos_test_loss"] = losses
    sine, cosine = net(x_test).split(1, dim=1)
    decoded = torch.rad2deg(torch.atan2(sine, cosine)) % 360
    lines.append(f"circular error on the test set: {circular_error(decoded, y_test):.2f} degrees")

    classes, classes_test = ((s.squeeze() / 18).long() for s in (y, y_test))
    for name, l2, l1 in (("class", 0, 0), ("sparse", 1e-2, 5e-4)):
        net = layers(n_neurons, 20, 20)
        w_in = net[0].weight
        penalty = lambda: l2 * w_in.square().sum() + l1 * w_in.abs().sum() if l2 else 0
        loss_fn = lambda out, classes: nll_loss(log_softmax(out, 1), classes) + penalty()
        test = (x_test, classes_test)
        losses, test_losses = train_and_test(net, loss_fn, x, classes, test, 1000, 0.1)
        numbers[f"{name}_loss"], numbers[f"{name}_test_loss"] = losses, test_losses
        for i in range(200, 1001, 200):
            lines.append(
                f"iteration {i}/1000 | loss: {losses[i - 1]:.3f} | test_loss: {test_losses[i - 1]:.3f}"
            )
        correct = (net(x_test).argmax(1) == classes_test).float().mean().item()
        lines.append(f"fraction correct: {correct:.3f}")

    numbers["preferred"] = stimuli_all[smooth(resp_all.double().numpy(), 5).argmax(0)]
    return [line.replace("nan", "NaN") for line in lines], numbers


def draw(resp, stimuli):
    """The figure of section 1, as PNG."""
    figure = Figure(figsize=(12, 5), dpi=160)
    left, right = figure.subplots(1, 2)
    few = resp[:, :100].T.numpy()
    low, high = np.percentile(few, [1, 99])
    image = left.imshow(few, vmin=low, vmax=high, cmap="pink", aspect="auto")
    figure.colorbar(image, ax=left)
    for neuron in (5, 50, 500):
        right.plot(stimuli.squeeze(), resp[:, neuron], label=f"neuron {neuron}")
    right.legend()
    figure.savefig(io.BytesIO(), format="png")


def golden():
    """The numbers that the tests of `helpers` expect."""

    def drawn(draw, seed, n):
        torch.manual_seed(seed)
        return {"seed": seed, "n": n, "values": draw(n).tolist()}

    def several_randn(lengths):
        return torch.cat([torch.randn(n) for n in lengths])

    def choice(seed, n, k, replace):
        np.random.seed(seed)
        values = np.random.choice(n, k, replace=replace).tolist()
        return {"seed": seed, "n": n, "k": k, "replace": replace, "values": values}

    def linear_init(seed, n_inputs, n_hidden):
        in_layer, _, out_layer = layers(n_inputs, n_hidden, 1, seed=seed)
        weight = in_layer.weight.detach().flatten()
        return {
            "seed": seed, "n_inputs": n_inputs, "n_hidden": n_hidden,
            "in_bias": in_layer.bias.tolist(),
            "out_weight": out_layer.weight.flatten().tolist(),
            "out_bias": out_layer.bias.tolist(),
            "in_weight_sum": weight.double().sum().item(),
            "in_weight_abs_sum": weight.double().abs().sum().item(),
            "in_weight_first": weight[:8].tolist(), "in_weight_last": weight[-8:].tolist(),
        }

    def training(seed, data_seed, n_stimuli, n_inputs, n_hidden, lr, n_epochs):
        torch.manual_seed(data_seed)
        x, y = torch.rand(n_stimuli, n_inputs) * 2 - 0.5, torch.rand(n_stimuli, 1) * 360
        net = layers(n_inputs, n_hidden, 1, seed=seed)
        in_layer, _, out_layer = net
        out = net(x)
        mse_loss(out, y).backward()
        gradients = {
            "in_bias": in_layer.bias.grad.tolist(),
            "out_weight": out_layer.weight.grad.flatten().tolist(),
            "out_bias": out_layer.bias.grad.tolist(),
            "in_weight_abs_sum": in_layer.weight.grad.double().abs().sum().item(),
        }
        return {
            "seed": seed, "data_seed": data_seed, "n_stimuli": n_stimuli, "n_inputs": n_inputs,
            "n_hidden": n_hidden, "lr": lr, "n_epochs": n_epochs,
            "initial_output": out.flatten().tolist(), "first_gradient": gradients,
            "losses": train(net, x, y, n_epochs, lr),
        }

    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "rand": [drawn(torch.rand, 1, 8), drawn(torch.rand, 1234, 20)],
        "randn": [drawn(several_randn, 1, [5, 16, 40, 2])],
        "randperm": [drawn(torch.randperm, 4, 360), drawn(torch.randperm, 0, 10)],
        "choice": [
            choice(1, 216, 1, True), choice(1, 216, 20, True), choice(4, 23589, 3, False),
            choice(0, 10, 10, False),
        ],
        "linear_init": [linear_init(1, 23589, n) for n in (10, 200)] + [linear_init(1, 7, 3)],
        "train": [training(1, 1001, 50, 64, 10, 2e-4, 60), training(3, 1003, 20, 8, 4, 1e-3, 80)],
    }


if __name__ == "__main__":
    with open(sys.argv[1], "w") as file:
        json.dump(golden(), file)
