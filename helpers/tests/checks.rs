//! The checks accept right answers in many styles, and give wrong answers their hint.

use helpers::checks::{LossFn, Verdict};
use helpers::*;

#[track_caller]
fn assert_ok(verdict: &Verdict) {
    let text = verdict.to_string();
    assert!(verdict.is_ok() && text.starts_with("ok: "), "{text}");
}

#[track_caller]
fn assert_hint(verdict: &Verdict, hint: &str) {
    let text = verdict.to_string();
    assert!(!verdict.is_ok() && text.starts_with("not yet: "), "{text}");
    assert!(text.contains(hint), "expected {hint:?} in {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// The learner's `forward`, of exercise 2.2.
type Forward = fn(&DeepNetReLU, &Tensor) -> Result<Tensor>;

struct Answer {
    net: DeepNetReLU,
    forward: Forward,
}

impl Module for Answer {
    fn forward(&self, r: &Tensor) -> Result<Tensor> {
        (self.forward)(&self.net, r)
    }
}

impl Network for Answer {
    fn vars(&self) -> Vec<Var> {
        self.net.vars()
    }
}

fn check_forward(forward: Forward) -> Verdict {
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), 3000, 200).unwrap();
    check_exercise_2_2(&Answer { net, forward }).unwrap()
}

#[test]
fn check_leaves_the_net_as_it_was() {
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), 30, 20).unwrap();
    let before = net.in_layer.weight().to_vec2::<f32>().unwrap();
    assert_ok(&check_exercise_2_2(&net).unwrap());
    assert_eq!(before, net.in_layer.weight().to_vec2::<f32>().unwrap());
}

#[test]
fn correct_networks_in_many_styles() {
    let answers: [Forward; 7] = [
        |net, r| net.out_layer.forward(&net.in_layer.forward(r)?.relu()?),
        |net, r| {
            let h = net.in_layer.forward(r)?;
            net.out_layer.forward(&h.maximum(&h.zeros_like()?)?)
        },
        |net, r| {
            let h = net.in_layer.forward(r)?;
            net.out_layer.forward(&((&h + h.abs()?)? * 0.5)?)
        },
        |net, r| {
            let h = net.in_layer.forward(r)?;
            let active = h.gt(0f32)?.to_dtype(DType::F32)?;
            net.out_layer.forward(&(h * active)?)
        },
        |net, r| {
            let h = r.matmul(&net.in_layer.weight().t()?)?;
            let h = h.broadcast_add(net.in_layer.bias())?.relu()?;
            let y = h.matmul(&net.out_layer.weight().t()?)?;
            y.broadcast_add(net.out_layer.bias())
        },
        |net, r| r.apply(&net.in_layer)?.apply(&candle_nn::Activation::Relu)?.apply(&net.out_layer),
        |net, r| {
            let rows = (0..r.dim(0)?).map(|i| net.forward(&r.narrow(0, i, 1)?));
            Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
        },
    ];
    for forward in answers {
        assert_ok(&check_forward(forward));
    }
}

#[test]
fn wrong_networks_get_their_hint() {
    fn output(net: &DeepNetReLU, h: Result<Tensor>) -> Result<Tensor> {
        net.out_layer.forward(&h?)
    }
    fn hidden(net: &DeepNetReLU, r: &Tensor) -> Result<Tensor> {
        net.in_layer.forward(r)
    }
    let cases: [(&str, Forward); 25] = [
        ("not yet: Exercise 2.2: decode r, [8, 3000]: write it in place of the todo!", |_, r| {
            todo!("Exercise 2.2: decode r, {:?}", r.dims())
        }),
        ("no unit is rectified", |net, r| output(net, hidden(net, r))),
        ("test stimulus 1/8: expected", |net, r| output(net, hidden(net, r))),
        ("the output is rectified, not the hidden layer", |net, r| {
            output(net, hidden(net, r))?.relu()
        }),
        ("the output is rectified as well", |net, r| net.forward(r)?.relu()),
        ("rectified before the input layer", |net, r| output(net, hidden(net, &r.relu()?))),
        ("relu() belongs to the hidden layer alone", |net, r| net.forward(&r.relu()?)),
        ("negated before relu()", |net, r| output(net, hidden(net, r)?.neg()?.relu())),
        ("negated after relu()", |net, r| output(net, hidden(net, r)?.relu()?.neg())),
        ("the output is negated", |net, r| net.forward(r)?.neg()),
        ("r goes through in_layer first", |net, r| hidden(net, &output(net, r.relu())?)),
        ("should have shape (8, 1) and type F32, got [8, 200]", |net, r| hidden(net, r)?.relu()),
        ("should have shape (8, 1) and type F32, got [8]", |net, r| net.forward(r)?.squeeze(1)),
        ("got [8, 1] and F64", |net, r| net.forward(r)?.to_dtype(DType::F64)),
        ("another activation function", |net, r| output(net, hidden(net, r)?.tanh())),
        ("another activation function", |net, r| output(net, hidden(net, r)?.gelu_erf())),
        ("b_in is missing", |net, r| output(net, r.matmul(&net.in_layer.weight().t()?)?.relu())),
        ("b_out is missing", |net, r| {
            let h = hidden(net, r)?.relu()?;
            h.matmul(&net.out_layer.weight().t()?)
        }),
        ("without a gradient for W_in", |net, r| output(net, Ok(hidden(net, r)?.relu()?.detach()))),
        ("the hidden layer is relu", |net, r| net.forward(r)?.affine(1.01, 0.0)),
        ("got NaN", |net, r| net.forward(r)? * f64::NAN),
        ("test stimulus", |net, r| net.forward(&r.broadcast_sub(&r.mean_keepdim(0)?)?)),
        ("test stimulus", |net, r| {
            let y = net.forward(r)?;
            let bias = net.out_layer.bias();
            bias.set(&(bias.as_tensor() + 1.0)?)?;
            Ok(y)
        }),
        ("your code returned an error: ", |_, r| r.i((0, 5000))),
        ("your code panicked: of the learner's making", |_, _| {
            panic!("{}", "of the learner's making")
        }),
    ];
    for (hint, forward) in cases {
        assert_hint(&check_forward(forward), hint);
    }
}

#[test]
fn changed_parameters_and_other_shapes_get_their_hint() {
    // A change too small to show in the outputs.
    let changes: Forward = |net, r| {
        let bias = net.out_layer.bias();
        bias.set(&bias.affine(1.0 + 1e-6, 0.0)?)?;
        net.forward(r)
    };
    assert_hint(&check_forward(changes), "forward() changes the parameters");
    let two = Layers::new(&mut TorchRng::manual_seed(1), &[5, 4, 2]).unwrap();
    let verdict = check_exercise_2_2(&two).unwrap();
    assert_hint(&verdict, "got shapes [[4, 5], [4], [2, 4], [2]]");
    let one_unit = DeepNetReLU::new(&mut TorchRng::manual_seed(1), 5, 1).unwrap();
    let bias = Tensor::new(&[1e3f32], &Device::Cpu).unwrap();
    one_unit.out_layer.bias().set(&bias).unwrap();
    let verdict = check_exercise_2_2(&one_unit).unwrap();
    assert_hint(&verdict, "all outputs have the same sign");
}

/// The arguments of `train`, of exercise 3.2.
#[derive(Clone, Copy)]
struct Given<'a> {
    net: &'a DeepNetReLU,
    loss_fn: LossFn,
    data: &'a Tensor,
    labels: &'a Tensor,
    n_epochs: usize,
    learning_rate: f64,
}

impl Given<'_> {
    fn loss(&self) -> Result<Tensor> {
        (self.loss_fn)(&self.net.forward(self.data)?, self.labels)
    }

    /// Gradient descent that calls `epoch` and returns its losses.
    fn train(&self, mut epoch: impl FnMut(&mut SGD) -> Result<f32>) -> Result<Vec<f32>> {
        let mut optimizer = SGD::new(self.net.vars(), self.learning_rate)?;
        (0..self.n_epochs).map(|_| epoch(&mut optimizer)).collect()
    }

    /// One correct epoch.
    fn epoch(&self, optimizer: &mut SGD) -> Result<f32> {
        let loss = self.loss()?;
        optimizer.step(&loss.backward()?)?;
        loss.to_scalar()
    }

    fn train_correctly(&self) -> Result<Vec<f32>> {
        self.train(|optimizer| self.epoch(optimizer))
    }
}

type Train = fn(Given) -> Result<Vec<f32>>;

fn check_train(answer: Train) -> Verdict {
    check_exercise_3_2(|net, loss_fn, data, labels, n_epochs, learning_rate| {
        answer(Given { net, loss_fn, data, labels, n_epochs, learning_rate })
    })
    .unwrap()
}

#[test]
fn correct_trainings_in_many_styles() {
    assert_ok(&check_exercise_3_2(train).unwrap());
    let answers: [Train; 5] = [
        |g| g.train_correctly(),
        |g| {
            g.train(|optimizer| {
                let loss = g.loss()?;
                optimizer.backward_step(&loss)?;
                loss.to_scalar()
            })
        },
        |g| {
            let mut optimizer = candle_nn::SGD::new(g.net.vars(), g.learning_rate)?;
            let mut losses = Vec::new();
            while losses.len() < g.n_epochs {
                let loss = g.loss()?;
                losses.push(loss.to_scalar()?);
                optimizer.step(&loss.backward()?)?;
            }
            Ok(losses)
        },
        |g| {
            let mut losses = vec![0.0; g.n_epochs];
            for kept in &mut losses {
                let loss = g.loss()?;
                let gradients = loss.backward()?;
                for var in g.net.vars() {
                    let step = (gradients.get(&var).unwrap() * g.learning_rate)?;
                    var.set(&(var.as_tensor() - step)?)?;
                }
                *kept = loss.to_scalar()?;
            }
            Ok(losses)
        },
        // A new optimizer in each epoch: without momentum, the numbers are the same.
        |g| {
            let epoch = |_| g.epoch(&mut SGD::new(g.net.vars(), g.learning_rate)?);
            (0..g.n_epochs).map(epoch).collect()
        },
    ];
    for answer in answers {
        assert_ok(&check_train(answer));
    }
}

#[test]
fn wrong_trainings_get_their_hint() {
    let cases: [(&str, Train); 22] = [
        ("not yet: Exercise 3.2: of train_data, [7, 5]: write it in place of the todo!", |g| {
            todo!("Exercise 3.2: of train_data, {:?}", g.data.dims())
        }),
        ("your code panicked: no idea", |_| panic!("no idea")),
        ("the parameters of net should have changed", |g| g.train(|_| g.loss()?.to_scalar())),
        ("for the net that was passed in", |g| {
            let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), 5, 4)?;
            Given { net: &net, ..g }.train_correctly()
        }),
        ("along the gradient", |g| {
            let learning_rate = -g.learning_rate;
            Given { learning_rate, ..g }.train_correctly()
        }),
        ("use the argument learning_rate", |g| {
            Given { learning_rate: 0.02, ..g }.train_correctly()
        }),
        ("the loss is taken after the update", |g| {
            g.train(|optimizer| {
                g.epoch(optimizer)?;
                g.loss()?.to_scalar()
            })
        }),
        ("as many losses, got 3", |g| Given { n_epochs: 3, ..g }.train_correctly()),
        ("as many losses, got 50", |g| Given { n_epochs: 50, ..g }.train_correctly()),
        ("as many losses", |g| {
            let mut losses = g.train_correctly()?;
            losses.pop();
            Ok(losses)
        }),
        ("only the first stimulus is used", |g| {
            let (data, labels) = (g.data.narrow(0, 0, 1)?, g.labels.narrow(0, 0, 1)?);
            Given { data: &data, labels: &labels, ..g }.train_correctly()
        }),
        ("loss_fn is ignored", |g| Given { loss_fn: loss::mse, ..g }.train_correctly()),
        // The gradients of another loss than the one that is returned.
        ("the loss of epoch 2: expected", |g| {
            g.train(|optimizer| {
                let gradients = loss::mse(&g.net.forward(g.data)?, g.labels)?.backward()?;
                let loss = g.loss()?.to_scalar();
                optimizer.step(&gradients)?;
                loss
            })
        }),
        ("got NaN", |g| g.train(|optimizer| Ok(g.epoch(optimizer)? * f32::NAN))),
        ("the loss of epoch 3: expected", |g| {
            let gradients = g.loss()?.backward()?; // once, before the loop
            g.train(|optimizer| {
                let loss = g.loss()?.to_scalar();
                optimizer.step(&gradients)?;
                loss
            })
        }),
        ("the losses are right, the last update is not", |g| {
            let losses = g.train_correctly()?;
            SGD::new(g.net.vars(), g.learning_rate)?.backward_step(&g.loss()?)?;
            Ok(losses)
        }),
        ("a number in b_out after training: expected", |g| {
            let losses = g.train_correctly()?;
            let bias = g.net.out_layer.bias();
            bias.set(&(bias.as_tensor() + 1.0)?)?;
            Ok(losses)
        }),
        ("each epoch: output for all of train_data", |g| {
            g.train(|optimizer| {
                let loss = g.epoch(optimizer);
                g.epoch(optimizer)?;
                loss
            })
        }),
        ("only the input layer is trained", |g| {
            let mut optimizer = SGD::new(g.net.in_layer.vars(), g.learning_rate)?;
            (0..g.n_epochs).map(|_| g.epoch(&mut optimizer)).collect()
        }),
        ("only the output layer is trained", |g| {
            let mut optimizer = SGD::new(g.net.out_layer.vars(), g.learning_rate)?;
            (0..g.n_epochs).map(|_| g.epoch(&mut optimizer)).collect()
        }),
        ("the biases are not trained", |g| {
            let weights = [g.net.in_layer.weight(), g.net.out_layer.weight()];
            let mut optimizer = SGD::new(weights.map(Var::clone).to_vec(), g.learning_rate)?;
            (0..g.n_epochs).map(|_| g.epoch(&mut optimizer)).collect()
        }),
        ("the loss of epoch 1: expected", |g| {
            let mut losses = g.train_correctly()?;
            losses.reverse();
            Ok(losses)
        }),
    ];
    for (hint, answer) in cases {
        assert_hint(&check_train(answer), hint);
    }
}
