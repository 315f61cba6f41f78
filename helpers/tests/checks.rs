//! Right answers to the exercises, however they are written, are told "ok", and wrong ones are not.

use helpers::checks::{LossFn, Verdict};
use helpers::*;

/// A network whose `forward` is the answer under test.
struct Answer<F> {
    net: DeepNetReLU,
    forward: F,
}

impl<F: Fn(&DeepNetReLU, &Tensor) -> Result<Tensor>> Module for Answer<F> {
    fn forward(&self, r: &Tensor) -> Result<Tensor> {
        (self.forward)(&self.net, r)
    }
}

impl<F: Fn(&DeepNetReLU, &Tensor) -> Result<Tensor>> Network for Answer<F> {
    fn vars(&self) -> Vec<Var> {
        self.net.vars()
    }
}

fn check_forward(forward: impl Fn(&DeepNetReLU, &Tensor) -> Result<Tensor>) -> Verdict {
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), 3000, 200).unwrap();
    let before = net.in_layer.weight().to_vec2::<f32>().unwrap();
    let answer = Answer { net, forward };
    let verdict = check_exercise_2_2(&answer).unwrap();
    let same = before == answer.net.in_layer.weight().to_vec2::<f32>().unwrap();
    assert!(same || verdict.to_string().contains("changes the parameters"));
    verdict
}

#[track_caller]
fn not_yet(verdict: &Verdict, hint: &str) {
    let text = verdict.to_string();
    assert!(!verdict.is_ok() && text.starts_with("not yet: "), "{text}");
    assert!(text.contains(hint), "expected {hint:?} in {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[track_caller]
fn ok(verdict: &Verdict) {
    assert!(
        verdict.is_ok() && verdict.to_string().starts_with("ok: "),
        "{verdict}"
    );
}

#[test]
fn right_networks_in_many_styles() {
    ok(&check_forward(|net, r| {
        net.out_layer.forward(&net.in_layer.forward(r)?.relu()?)
    }));
    ok(&check_forward(|net, r| {
        let h = net.in_layer.forward(r)?;
        net.out_layer.forward(&h.maximum(&h.zeros_like()?)?)
    }));
    ok(&check_forward(|net, r| {
        let h = net.in_layer.forward(r)?;
        net.out_layer.forward(&((&h + h.abs()?)? * 0.5)?)
    }));
    ok(&check_forward(|net, r| {
        let h = net.in_layer.forward(r)?;
        let active = h.gt(0f32)?.to_dtype(DType::F32)?;
        net.out_layer.forward(&(h * active)?)
    }));
    ok(&check_forward(|net, r| {
        let h = r.matmul(&net.in_layer.weight().t()?)?;
        let h = h.broadcast_add(net.in_layer.bias())?.relu()?;
        let y = h.matmul(&net.out_layer.weight().t()?)?;
        y.broadcast_add(net.out_layer.bias())
    }));
    ok(&check_forward(|net, r| {
        r.apply(&net.in_layer)?
            .apply(&candle_nn::Activation::Relu)?
            .apply(&net.out_layer)
    }));
    ok(&check_forward(|net, r| {
        let rows = (0..r.dim(0)?).map(|i| {
            let h = net.in_layer.forward(&r.narrow(0, i, 1)?)?.relu()?;
            net.out_layer.forward(&h)
        });
        Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
    }));
}

#[test]
fn wrong_networks() {
    let through = |net: &DeepNetReLU, h: Tensor| net.out_layer.forward(&h);
    not_yet(
        &check_forward(|_, r| todo!("Exercise 2.2: decode r, {:?}", r.dims())),
        "Exercise 2.2: decode r, [8, 3000]: write it in place of the todo!",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?)),
        "no unit is rectified",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?)?.relu()),
        "the output is rectified, not the hidden layer",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?.relu()?)?.relu()),
        "the output is rectified as well",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(&r.relu()?)?)),
        "rectified before the input layer",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(&r.relu()?)?.relu()?)),
        "relu() belongs to the hidden layer alone",
    );
    not_yet(
        &check_forward(|net, r| net.in_layer.forward(&net.out_layer.forward(r)?.relu()?)),
        "r goes through in_layer first",
    );
    not_yet(
        &check_forward(|net, r| net.in_layer.forward(r)?.relu()),
        "should have shape (8, 1), got [8, 200]",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?.relu()?)?.squeeze(1)),
        "should have shape (8, 1), got [8]",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?.tanh()?)),
        "another activation function",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?.gelu_erf()?)),
        "another activation function",
    );
    not_yet(
        &check_forward(|net, r| {
            let h = r.matmul(&net.in_layer.weight().t()?)?.relu()?;
            net.out_layer.forward(&h)
        }),
        "b_in is missing",
    );
    not_yet(
        &check_forward(|net, r| {
            let h = net.in_layer.forward(r)?.relu()?;
            h.matmul(&net.out_layer.weight().t()?)
        }),
        "b_out is missing",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?.relu()?.detach())),
        "without a gradient for W_in",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?.relu()?)?.affine(1.01, 0.0)),
        "the hidden layer is relu",
    );
    not_yet(
        &check_forward(|net, r| through(net, net.in_layer.forward(r)?.relu()?)? * f64::NAN),
        "got NaN",
    );
    not_yet(
        &check_forward(|net, r| {
            let h = net
                .in_layer
                .forward(&r.broadcast_sub(&r.mean_keepdim(0)?)?)?;
            through(net, h.relu()?)
        }),
        "not yet",
    );
    not_yet(
        &check_forward(|net, r| {
            let y = through(net, net.in_layer.forward(r)?.relu()?)?;
            let bias = net.out_layer.bias();
            bias.set(&(bias.as_tensor() + 1.0)?)?;
            Ok(y)
        }),
        "not yet",
    );
    not_yet(
        &check_forward(|_, r| r.i((0, 5000)).map(|_| r.clone())),
        "your code stopped with",
    );
    not_yet(
        &check_forward(|_, _| panic!("{}", "of the learner's making")),
        "your code stopped with: of the learner's making",
    );
}

/// Everything that `train` gets.
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

    /// Gradient descent that does `epoch` and returns its losses.
    fn train(&self, mut epoch: impl FnMut(&mut SGD) -> Result<f32>) -> Result<Vec<f32>> {
        let mut optimizer = SGD::new(self.net.vars(), self.learning_rate)?;
        (0..self.n_epochs).map(|_| epoch(&mut optimizer)).collect()
    }
}

fn check_train(answer: impl Fn(Given) -> Result<Vec<f32>>) -> Verdict {
    check_exercise_3_2(|net, loss_fn, data, labels, n_epochs, learning_rate| {
        answer(Given {
            net,
            loss_fn,
            data,
            labels,
            n_epochs,
            learning_rate,
        })
    })
    .unwrap()
}

/// One right epoch.
fn right(given: &Given, optimizer: &mut SGD) -> Result<f32> {
    let loss = given.loss()?;
    optimizer.step(&loss.backward()?)?;
    loss.to_scalar()
}

#[test]
fn right_trainings_in_many_styles() {
    ok(&check_exercise_3_2(train).unwrap());
    ok(&check_train(|g| g.train(|optimizer| right(&g, optimizer))));
    ok(&check_train(|g| {
        g.train(|optimizer| {
            let loss = g.loss()?;
            optimizer.backward_step(&loss)?;
            loss.to_scalar()
        })
    }));
    ok(&check_train(|g| {
        let mut optimizer = candle_nn::SGD::new(g.net.vars(), g.learning_rate)?;
        let mut losses = Vec::new();
        while losses.len() < g.n_epochs {
            let loss = g.loss()?;
            losses.push(loss.to_scalar()?);
            optimizer.step(&loss.backward()?)?;
        }
        Ok(losses)
    }));
    ok(&check_train(|g| {
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
    }));
}

#[test]
fn wrong_trainings() {
    not_yet(
        &check_train(|g| todo!("Exercise 3.2: of train_data, {:?}", g.data.dims())),
        "Exercise 3.2: of train_data, [7, 5]: write it in place of the todo!",
    );
    let no_update = check_train(|g| g.train(|_| g.loss()?.to_scalar()));
    not_yet(&no_update, "the parameters of net should have changed");
    not_yet(
        &check_train(|g| {
            let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), 5, 4)?;
            let own = Given { net: &net, ..g };
            own.train(|optimizer| right(&own, optimizer))
        }),
        "for the net that was passed in",
    );
    not_yet(
        &check_train(|g| {
            let up = Given {
                learning_rate: -g.learning_rate,
                ..g
            };
            up.train(|optimizer| right(&up, optimizer))
        }),
        "along the gradient",
    );
    not_yet(
        &check_train(|g| {
            let own = Given {
                learning_rate: 0.02,
                ..g
            };
            own.train(|optimizer| right(&own, optimizer))
        }),
        "use the argument learning_rate",
    );
    not_yet(
        &check_train(|g| {
            g.train(|optimizer| {
                right(&g, optimizer)?;
                g.loss()?.to_scalar()
            })
        }),
        "the loss is taken after the update",
    );
    for n_epochs in [3, 50] {
        not_yet(
            &check_train(|g| {
                let other = Given { n_epochs, ..g };
                other.train(|optimizer| right(&other, optimizer))
            }),
            &format!("as many losses, got {n_epochs}"),
        );
    }
    not_yet(
        &check_train(|g| {
            let mut losses = g.train(|optimizer| right(&g, optimizer))?;
            losses.pop();
            Ok(losses)
        }),
        "as many losses",
    );
    not_yet(
        &check_train(|g| {
            let epoch = |_| right(&g, &mut SGD::new(g.net.vars(), g.learning_rate)?);
            (0..g.n_epochs).map(epoch).collect()
        }),
        "6 optimisers were made in 6 epochs",
    );
    not_yet(
        &check_train(|g| {
            let (data, labels) = (g.data.narrow(0, 0, 1)?, g.labels.narrow(0, 0, 1)?);
            let one = Given {
                data: &data,
                labels: &labels,
                ..g
            };
            one.train(|optimizer| right(&one, optimizer))
        }),
        "only the first stimulus is used",
    );
    not_yet(
        &check_train(|g| {
            let mse = Given {
                loss_fn: loss::mse,
                ..g
            };
            mse.train(|optimizer| right(&mse, optimizer))
        }),
        "loss_fn is ignored",
    );
    not_yet(
        &check_train(|g| {
            g.train(|optimizer| {
                let gradients = loss::mse(&g.net.forward(g.data)?, g.labels)?.backward()?;
                let loss = g.loss()?.to_scalar();
                optimizer.step(&gradients)?;
                loss
            })
        }),
        "not yet",
    );
    not_yet(
        &check_train(|g| g.train(|optimizer| Ok(right(&g, optimizer)? * f32::NAN))),
        "got NaN",
    );
    not_yet(
        &check_train(|g| {
            let gradients = g.loss()?.backward()?; // once and for all
            g.train(|optimizer| {
                let loss = g.loss()?.to_scalar();
                optimizer.step(&gradients)?;
                loss
            })
        }),
        "not yet",
    );
    not_yet(
        &check_train(|g| {
            let losses = g.train(|optimizer| right(&g, optimizer))?;
            SGD::new(g.net.vars(), g.learning_rate)?.backward_step(&g.loss()?)?;
            Ok(losses)
        }),
        "the losses are right, the last update is not",
    );
    not_yet(
        &check_train(|g| {
            g.train(|optimizer| {
                let loss = right(&g, optimizer);
                right(&g, optimizer)?;
                loss
            })
        }),
        "not yet",
    );
    not_yet(
        &check_train(|g| {
            let mut optimizer = SGD::new(g.net.in_layer.vars(), g.learning_rate)?;
            (0..g.n_epochs).map(|_| right(&g, &mut optimizer)).collect()
        }),
        "only the input layer is trained",
    );
    not_yet(
        &check_train(|g| {
            let mut losses = g.train(|optimizer| right(&g, optimizer))?;
            losses.reverse();
            Ok(losses)
        }),
        "not yet",
    );
}
