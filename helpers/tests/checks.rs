//! The checks accept right answers in many styles, and give wrong answers their hint.

mod verdicts;

use helpers::checks::{LossFn, Verdict, unanswered};
use helpers::net::DeepNetReLU;
use helpers::train::train;
use helpers::*;

use verdicts::assert_all;

fn new_net(n_inputs: usize, n_hidden: usize) -> DeepNetReLU {
    DeepNetReLU::new(&mut TorchRng::manual_seed(1), n_inputs, n_hidden).unwrap()
}

/// The learner's `forward`, of exercise 2.2.
type Forward = fn(&DeepNetReLU, &Tensor) -> Result<Tensor>;

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
    /// In another order than that of the exercise's cell.
    fn vars(&self) -> Vec<Var> {
        [self.net.out_layer.vars(), self.net.in_layer.vars()].concat()
    }
}

fn check_forward(forward: Forward) -> Verdict {
    check_exercise_2_2(&Answer { net: new_net(3000, 200), forward }).unwrap()
}

#[test]
fn check_leaves_the_net_as_it_was() {
    let net = new_net(30, 20);
    let before = net.in_layer.weight().to_vec2::<f32>().unwrap();
    assert_all([("ok: ", check_exercise_2_2(&net).unwrap())]);
    assert_eq!(before, net.in_layer.weight().to_vec2::<f32>().unwrap());
}

fn hidden(net: &DeepNetReLU, r: &Tensor) -> Result<Tensor> {
    net.in_layer.forward(r)
}

fn output(net: &DeepNetReLU, h: Result<Tensor>) -> Result<Tensor> {
    net.out_layer.forward(&h?)
}

/// `W_in r + b_in`, with a function of the weights in between.
fn hidden_by(net: &DeepNetReLU, r: &Tensor, w_in: Result<Tensor>) -> Result<Tensor> {
    r.matmul(&w_in?.t()?)?.broadcast_add(net.in_layer.bias())
}

#[test]
#[rustfmt::skip] // one line each answer
fn correct_networks_in_many_styles() {
    let answers: [Forward; 20] = [
        |net, r| net.out_layer.forward(&net.in_layer.forward(r)?.relu()?),
        |net, r| hidden(net, r).and_then(|z| z.relu()).and_then(|h| net.out_layer.forward(&h)),
        |net, r| hidden(net, r).and_then(|z| output(net, z.maximum(&z.zeros_like()?))),
        |net, r| hidden(net, r).and_then(|z| output(net, (&z + z.abs()?)? * 0.5)),
        |net, r| hidden(net, r).and_then(|z| output(net, &z * z.gt(0f32)?.to_dtype(DType::F32)?)),
        |net, r| hidden(net, r).and_then(|z| output(net, z.gt(0f32)?.where_cond(&z, &z.zeros_like()?))),
        |net, r| hidden(net, r).and_then(|z| output(net, z.neg()?.minimum(&z.zeros_like()?)?.neg())),
        |net, r| hidden(net, r).and_then(|z| output(net, (&z - z.minimum(&z.zeros_like()?)?)?.contiguous())),
        |net, r| output(net, hidden(net, r)?.clamp(0f32, f32::INFINITY)),
        |net, r| output(net, candle_nn::ops::leaky_relu(&hidden(net, r)?, 0.0)),
        |net, r| output(net, hidden(net, r)?.to_dtype(DType::F64)?.relu()?.to_dtype(DType::F32)),
        |net, r| output(net, hidden_by(net, r, Ok(net.in_layer.weight().as_tensor().clone()))?.relu()),
        |net, r| r.apply(&net.in_layer)?.apply(&candle_nn::Activation::Relu)?.apply(&net.out_layer),
        |net, r| candle_nn::seq().add(net.in_layer.clone()).add(candle_nn::Activation::Relu).add(net.out_layer.clone()).forward(r),
        |net, r| hidden(net, r)?.relu()?.matmul(&net.out_layer.weight().t()?)?.broadcast_add(net.out_layer.bias()),
        |net, r| hidden(net, r)?.relu()?.broadcast_mul(net.out_layer.weight())?.sum_keepdim(1)?.broadcast_add(net.out_layer.bias()),
        |net, r| net.in_layer.weight().matmul(&r.t()?)?.t()?.broadcast_add(net.in_layer.bias()).and_then(|z| output(net, z.relu())),
        |net, r| Tensor::cat(&(0..r.dim(0)?).map(|i| net.forward(&r.narrow(0, i, 1)?)).collect::<Result<Vec<_>>>()?, 0),
        |net, r| Tensor::stack(&(0..r.dim(0)?).map(|i| net.forward(&r.i(i)?)).collect::<Result<Vec<_>>>()?, 0),
        |net, r| hidden(net, r).and_then(|z| output(net, Tensor::cat(&[z.narrow(1, 0, 90)?.relu()?, z.narrow(1, 90, 110)?.relu()?], 1))),
    ];
    assert_all(answers.map(|forward| ("ok: ", check_forward(forward))));
}

#[test]
#[rustfmt::skip] // one line each answer
fn wrong_networks_get_their_hint() {
    let cases: [(&str, Forward); 52] = [
        ("not yet: write your own code in place of unsolved::forward(..)", unsolved::forward),
        ("your code panicked: not yet implemented", |_, _| todo!()),
        ("not yet: run the cell of the exercise first", |_, r| unanswered::net(r)),
        ("no unit is rectified", |net, r| output(net, hidden(net, r))),
        ("test stimulus 1/12 (all responses 0, so only the biases count): expected ", |net, r| output(net, hidden(net, r))),
        ("instead of the output", |net, r| output(net, hidden(net, r))?.relu()),
        ("the output is rectified as well", |net, r| net.forward(r)?.relu()),
        ("as it is, without abs()", |net, r| net.forward(r)?.abs()),
        ("instead of the responses", |net, r| output(net, hidden(net, &r.relu()?))),
        ("the responses are rectified, too", |net, r| net.forward(&r.relu()?)),
        ("instead of the weights", |net, r| output(net, hidden_by(net, r, net.in_layer.weight().relu()))),
        ("the weights are rectified, too", |net, r| output(net, hidden_by(net, r, net.in_layer.weight().relu())?.relu())),
        ("the hidden layer before relu()", |net, r| output(net, hidden(net, r)?.neg()?.relu())),
        ("the hidden layer after relu()", |net, r| output(net, hidden(net, r)?.relu()?.neg())),
        ("the minus sign of the output", |net, r| net.forward(r)?.neg()),
        ("r goes through in_layer first", |net, r| hidden(net, &output(net, r.relu())?)),
        ("should have shape (12, 1), got that of the hidden layer", |net, r| hidden(net, r)?.relu()),
        ("should have shape [12, 1], got [12]", |net, r| net.forward(r)?.squeeze(1)),
        ("should have shape [12, 1], got []", |net, r| net.forward(r)?.mean_all()),
        ("should have type F32, got F64", |net, r| net.forward(r)?.to_dtype(DType::F64)),
        ("another activation function", |net, r| output(net, hidden(net, r)?.tanh())),
        ("another activation function", |net, r| output(net, hidden(net, r)?.gelu_erf())),
        ("another activation function", |net, r| output(net, candle_nn::ops::sigmoid(&hidden(net, r)?))),
        ("another activation function", |net, r| output(net, (hidden(net, r)?.exp()? + 1.0)?.log())),
        ("another activation function", |net, r| output(net, candle_nn::ops::leaky_relu(&hidden(net, r)?, 0.1))),
        ("another activation function", |net, r| output(net, hidden(net, r)?.abs())),
        ("another activation function", |net, r| output(net, candle_nn::ops::softmax(&hidden(net, r)?, 1))),
        ("another activation function", |net, r| output(net, hidden(net, r)?.relu()?.tanh())),
        ("without limits, such as clamp(): only large responses are decoded wrong", |net, r| net.forward(r)?.clamp(-180f32, 180f32)),
        ("only large responses are decoded wrong", |net, r| output(net, hidden(net, r)?.clamp(0f32, 200f32))),
        ("compute relu(W_in r + b_in) for the hidden layer", |net, r| output(net, (hidden(net, r)? - 0.1)?.relu())),
        ("compute relu(W_in r + b_in) for the hidden layer", |net, r| output(net, hidden(net, r)?.gt(0f32)?.to_dtype(DType::F32))),
        ("compute relu(W_in r + b_in) for the hidden layer", |net, r| output(net, candle_nn::ops::leaky_relu(&hidden(net, r)?, 3e-5))),
        ("compute relu(W_in r + b_in) for the hidden layer", |net, r| net.forward(r)?.zeros_like()),
        ("these numbers are rounded", |net, r| net.forward(r)?.round_to(2)),
        ("add b_in, as", |net, r| output(net, r.matmul(&net.in_layer.weight().t()?)?.relu())),
        ("b_in is added after relu()", |net, r| output(net, r.matmul(&net.in_layer.weight().t()?)?.relu()?.broadcast_add(net.in_layer.bias()))),
        ("add b_out, as", |net, r| hidden(net, r)?.relu()?.matmul(&net.out_layer.weight().t()?)),
        ("without a gradient for W_in", |net, r| output(net, Ok(hidden(net, r)?.relu()?.detach()))),
        ("without a gradient for W_in", |net, r| Tensor::new(net.forward(r)?.to_vec2::<f32>()?, r.device())),
        ("without a gradient for b_in", |net, r| output(net, r.matmul(&net.in_layer.weight().t()?)?.broadcast_add(&net.in_layer.bias().detach())?.relu())),
        ("not the gradient for W_in: use relu() as it is", |net, r| hidden(net, r).and_then(|z| output(net, &z.relu()? + (&z - z.detach())? * 0.1))),
        ("all numbers are 1.01 times", |net, r| net.forward(r)?.affine(1.01, 0.0)),
        ("all numbers are 360 times", |net, r| net.forward(r)? * 360.0),
        ("got NaN", |net, r| net.forward(r)? * f64::NAN),
        ("depends on the other stimuli in r", |net, r| net.forward(r)?.broadcast_sub(&net.forward(r)?.mean_keepdim(0)?)),
        ("gives other outputs when it is called again", |net, r| output(net, candle_nn::ops::dropout(&hidden(net, r)?.relu()?, 0.5))),
        ("forward() changes the parameters", |net, r| {
            let y = net.forward(r)?;
            let bias = net.out_layer.bias();
            bias.set(&(bias.as_tensor() + 1.0)?)?;
            Ok(y)
        }),
        ("forward() changes the parameters", |net, r| { // too little to show in the outputs
            let bias = net.out_layer.bias();
            bias.set(&bias.affine(1.0 + 1e-6, 0.0)?)?;
            net.forward(r)
        }),
        ("your code returned an error: ", |_, r| r.i((0, 5000))),
        ("a single stimulus should have shape [1, 1], got [1]", |net, r| output(net, hidden(net, r)?.squeeze(0))),
        ("your code panicked: no idea", |_, _| panic!("{}", "no idea")),
    ];
    assert_all(cases.map(|(hint, forward)| (hint, check_forward(forward))));
}

#[test]
fn copies_of_parameters_and_other_shapes_get_their_hint() {
    let net = new_net(30, 20);
    let w_in = net.in_layer.weight().affine(1.0, 0.0).unwrap();
    let forward =
        |net: &DeepNetReLU, r: &Tensor| output(net, hidden_by(net, r, Ok(w_in.clone()))?.relu());
    let two_outputs = Layers::new(&mut TorchRng::manual_seed(1), &[5, 4, 2]).unwrap();
    let one_unit = new_net(5, 1);
    let bias = Tensor::new(&[1e3f32], &Device::Cpu).unwrap();
    one_unit.out_layer.bias().set(&bias).unwrap();
    assert_all([
        ("without copies of them", check_exercise_2_2(&Answer { net, forward }).unwrap()),
        ("got shapes [[4, 5], [4], [2, 4], [2]]", check_exercise_2_2(&two_outputs).unwrap()),
        ("all outputs have the same sign", check_exercise_2_2(&one_unit).unwrap()),
    ]);
}

#[test]
fn exercise_that_was_not_run_gets_the_hint_to_run_it() {
    use helpers::checks::unanswered::DeepNetReLU;
    let of_own = |_: &DeepNetReLU, _: LossFn, _: &Tensor, _: &Tensor, _: usize, _: f64| Ok(vec![]);
    let not_run = "not yet: run the cell of the exercise first";
    assert_all([
        (not_run, check_exercise_2_2(&unanswered::net).unwrap()),
        (not_run, check_exercise_2_2(&DeepNetReLU).unwrap()),
        (not_run, check_exercise_3_2(unanswered::train).unwrap()),
        (not_run, check_exercise_3_2!(of_own).unwrap()),
    ]);
    let error = DeepNetReLU::new(&mut TorchRng::manual_seed(1), 5, 4).unwrap_err();
    assert!(error.to_string().starts_with("run the cell of the exercise first"));
}

#[test]
fn verdict_has_a_sign_and_a_color_besides_its_words() {
    let right = check_forward(|net, r| net.forward(r)).html();
    assert!(right.contains("✓ ok:</b> exercise 2.2"), "{right}");
    assert!(right.contains("color: #2a9d4a"), "{right}");
    let wrong = check_forward(|_, _| panic!("1 < 2 & 3")).html();
    assert!(wrong.contains("✗ not yet:</b> your code panicked: <br>1 &lt; 2 &amp; 3"), "{wrong}");
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

    /// Gradient descent that calls `update` in each epoch and returns the losses before it.
    fn train_by(&self, mut update: impl FnMut(&mut SGD) -> Result<()>) -> Result<Vec<f32>> {
        self.train(|optimizer| {
            let loss = self.loss()?.to_scalar();
            update(optimizer)?;
            loss
        })
    }

    /// One correct epoch.
    fn epoch(&self, optimizer: &mut SGD) -> Result<f32> {
        step(optimizer, &self.loss()?)
    }

    /// An epoch on some of the stimuli.
    fn epoch_on(&self, which: &[usize], optimizer: &mut SGD) -> Result<f32> {
        let (data, labels) = (rows(self.data, which)?, rows(self.labels, which)?);
        Given { data: &data, labels: &labels, ..*self }.epoch(optimizer)
    }

    fn train_correctly(&self) -> Result<Vec<f32>> {
        self.train(|optimizer| self.epoch(optimizer))
    }
}

/// A step of the optimizer; returns the loss before it.
fn step(optimizer: &mut impl Optimizer, loss: &Tensor) -> Result<f32> {
    optimizer.backward_step(loss)?;
    item(loss)
}

type Train = fn(Given) -> Result<Vec<f32>>;

fn check_train(answer: Train) -> Verdict {
    check_exercise_3_2(|net, loss_fn, data, labels, n_epochs, learning_rate| {
        answer(Given { net, loss_fn, data, labels, n_epochs, learning_rate })
    })
    .unwrap()
}

/// A training with an optimizer of its own for each group of parameters.
fn train_groups(g: Given, groups: Vec<Vec<Var>>) -> Result<Vec<f32>> {
    let optimizers = groups.into_iter().map(|vars| SGD::new(vars, g.learning_rate));
    let mut optimizers = optimizers.collect::<Result<Vec<_>>>()?;
    g.train_by(|_| {
        let gradients = g.loss()?.backward()?;
        optimizers.iter_mut().try_for_each(|optimizer| optimizer.step(&gradients))
    })
}

/// A training whose gradients are changed before the update.
fn train_with(g: Given, change: fn(Tensor, &Var) -> Result<Tensor>) -> Result<Vec<f32>> {
    g.train_by(|_| {
        let gradients = g.loss()?.backward()?;
        g.net.vars().iter().try_for_each(|var| {
            let gradient = change(gradients.get(var).unwrap().clone(), var)?;
            var.set(&(var.as_tensor() - (gradient * g.learning_rate)?)?)
        })
    })
}

/// A training whose learning rate depends on the epoch, counted from 0.
fn train_at(g: Given, rate: impl Fn(usize) -> f64) -> Result<Vec<f32>> {
    let mut optimizer = SGD::new(g.net.vars(), g.learning_rate)?;
    let epoch = |i| {
        optimizer.set_learning_rate(g.learning_rate * rate(i));
        g.epoch(&mut optimizer)
    };
    (0..g.n_epochs).map(epoch).collect()
}

/// A training on some of the stimuli in each epoch.
fn train_on(g: Given, which: fn(usize) -> Vec<usize>) -> Result<Vec<f32>> {
    let mut optimizer = SGD::new(g.net.vars(), g.learning_rate)?;
    (0..g.n_epochs).map(|i| g.epoch_on(&which(i), &mut optimizer)).collect()
}

/// An epoch with a step for each batch of stimuli; returns the mean of their losses.
fn train_batches(g: Given, size: usize, optimizer: &mut SGD) -> Result<f32> {
    let all: Vec<usize> = (0..250).collect();
    let share = |batch: &[usize]| Ok(g.epoch_on(batch, optimizer)? * batch.len() as f32 / 250.0);
    all.chunks(size).map(share).sum()
}

/// A training that ends early; `done` gets the loss and the loss before.
fn train_until(g: Given, done: fn(f32, f32) -> bool) -> Result<Vec<f32>> {
    let mut optimizer = SGD::new(g.net.vars(), g.learning_rate)?;
    let mut losses = vec![g.epoch(&mut optimizer)?];
    let mut last = f32::INFINITY;
    while losses.len() < g.n_epochs && !done(losses[losses.len() - 1], last) {
        last = losses[losses.len() - 1];
        losses.push(g.epoch(&mut optimizer)?);
    }
    Ok(losses)
}

fn train_recursively(g: Given) -> Result<Vec<f32>> {
    if g.n_epochs == 0 {
        return Ok(Vec::new());
    }
    let first = Given { n_epochs: 1, ..g }.train_correctly()?;
    Ok([first, train_recursively(Given { n_epochs: g.n_epochs - 1, ..g })?].concat())
}

fn train_using(g: Given, mut optimizer: impl Optimizer) -> Result<Vec<f32>> {
    g.train(|_| step(&mut optimizer, &g.loss()?))
}

#[test]
#[rustfmt::skip] // one line each answer
fn correct_trainings_in_many_styles() {
    let answers: [Train; 19] = [
        |g| train(g.net, g.loss_fn, g.data, g.labels, g.n_epochs, g.learning_rate),
        |g| g.train_correctly(),
        train_recursively,
        |g| train_using(g, SGD::new(g.net.vars(), g.learning_rate)?),
        |g| train_using(g, SGD::with_momentum(g.net.vars(), g.learning_rate, 0.0)?),
        |g| train_using(g, candle_nn::SGD::new(g.net.vars(), g.learning_rate)?),
        |g| train_using(g, SGD::new([g.net.out_layer.vars(), g.net.in_layer.vars()].concat(), g.learning_rate)?),
        |g| train_with(g, |gradient, _| Ok(gradient)),
        |g| train_with(g, |gradient, _| gradient.to_dtype(DType::F64)?.to_dtype(DType::F32)),
        |g| train_at(g, |_| 1.0),
        |g| train_groups(g, vec![g.net.in_layer.vars(), g.net.out_layer.vars()]),
        |g| train_groups(g, g.net.vars().into_iter().map(|var| vec![var]).collect()),
        |g| train_groups(g, <[_; 2]>::from(g.net.vars().into_iter().partition::<Vec<_>, _>(|var| var.rank() == 2)).to_vec()),
        // In another order, in two halves, and with the loss in f64: only the rounding differs.
        |g| train_on(g, |_| (0..250).rev().collect()),
        |g| train_on(g, |epoch| (0..250).map(|i| (i + epoch) % 250).collect()),
        |g| g.train(|optimizer| {
            let half = |first| (g.loss_fn)(&g.net.forward(&g.data.narrow(0, first, 125)?)?, &g.labels.narrow(0, first, 125)?);
            step(optimizer, &((half(0)? + half(125)?)? / 2.0)?)
        }),
        |g| g.train(|optimizer| {
            let (out, labels) = (g.net.forward(g.data)?.to_dtype(DType::F64)?, g.labels.to_dtype(DType::F64)?);
            step(optimizer, &(g.loss_fn)(&out, &labels)?)
        }),
        |g| train_at(g, |epoch| {
            if epoch % (g.n_epochs / 5) == 0 { // fails for 1 epoch
                println!("epoch {epoch}");
            }
            1.0
        }),
        // A new optimizer in each epoch: without momentum, the numbers are the same.
        |g| (0..g.n_epochs).map(|_| g.epoch(&mut SGD::new(g.net.vars(), g.learning_rate)?)).collect(),
    ];
    assert_all(answers.map(|answer| ("ok: ", check_train(answer))));
}

/// As in the notebook: a network of the learner's own, and `train` with any of these types.
mod learner {
    use helpers::checks::LossFn;
    use helpers::*;

    use super::{assert_all, step};

    type DeepNetReLU = super::Answer<super::Forward>;

    impl DeepNetReLU {
        fn new(rng: &mut TorchRng, n_inputs: usize, n_hidden: usize) -> Result<Self> {
            let net = net::DeepNetReLU::new(rng, n_inputs, n_hidden)?;
            Ok(Self { net, forward: |net, r| net.forward(r) })
        }
    }

    #[test]
    #[rustfmt::skip] // one line each signature
    fn train_may_be_written_for_one_network() {
        let of_own = |net: &DeepNetReLU, f: LossFn, x: &Tensor, y: &Tensor, n: usize, rate: f64| train::train(net, f, x, y, n, rate);
        let too_fast = |net: &DeepNetReLU, f: LossFn, x: &Tensor, y: &Tensor, n: usize, rate: f64| of_own(net, f, x, y, n, 3.0 * rate);
        let of_dyn = |net: &dyn Network, f: LossFn, x: &Tensor, y: &Tensor, n: usize, rate: f64| -> Result<Vec<f32>> {
            let mut optimizer = SGD::new(net.vars(), rate)?;
            (0..n).map(|_| step(&mut optimizer, &f(&net.forward(x)?, y)?)).collect()
        };
        assert_all([
            ("ok: ", check_exercise_3_2!(of_own).unwrap()),
            ("ok: ", check_exercise_3_2!(of_dyn).unwrap()),
            ("ok: ", check_exercise_3_2!(train::train).unwrap()),
            ("3 times", check_exercise_3_2!(too_fast).unwrap()),
            // What `use helpers::*` imports, because this module has no train of its own.
            ("run the cell of the exercise first", check_exercise_3_2!(train).unwrap()),
        ]);
    }
}

#[test]
#[rustfmt::skip] // one line each answer
fn wrong_trainings_get_their_hint() {
    let cases: [(&str, Train); 49] = [
        ("in place of unsolved::output(..)", |g| { unsolved::output(g.net, g.data)?; g.train_correctly() }),
        ("in place of unsolved::step(..)", |g| g.train_by(|optimizer| unsolved::step(&g.loss()?, optimizer))),
        ("your code panicked: no idea", |_| panic!("no idea")),
        ("your code returned an error: ", |g| g.net.forward(g.labels)?.to_vec1()),
        ("the parameters of net should have changed", |g| g.train(|_| g.loss()?.to_scalar())),
        ("without a gradient for any of them", |g| g.train_by(|optimizer| {
            optimizer.backward_step(&g.loss()?.detach())
        })),
        ("for the net that was passed in", |g| Given { net: &new_net(5, 4), ..g }.train_correctly()),
        ("change the sign: a step goes against", |g| train_at(g, |_| -1.0)),
        ("all numbers are 2 times", |g| train_at(g, |_| 2.0)),
        ("250 times too much", |g| train_at(g, |_| 250.0)),
        ("all numbers are 0.3333 times", |g| Given { learning_rate: 1e-3, ..g }.train_correctly()),
        ("in each epoch, compute new gradients", |g| train_at(g, |epoch| if epoch < 100 { 1.0 } else { 0.1 })),
        ("in each epoch, compute new gradients", |g| train_at(g, |epoch| 0.99f64.powi(epoch as i32))),
        ("this loss is taken after the update", |g| g.train(|optimizer| {
            g.epoch(optimizer)?;
            g.loss()?.to_scalar()
        })),
        ("as many losses, got 3", |g| Given { n_epochs: 3, ..g }.train_correctly()),
        ("as many losses, got 0", |g| g.train_correctly().map(|mut losses| { losses.pop(); losses })),
        ("as many losses, got 2:", |g| train_until(g, |loss, last| loss > last)),
        ("as many losses, got 2:", |g| train_until(g, |loss, last| (loss - last).abs() < 1e-6)),
        ("as many losses, got 1:", |g| train_until(g, |loss, _| loss < 1e-3)),
        ("in each epoch, compute new gradients", |g| { // keeps the best parameters
            let mut best = (f32::INFINITY, Vec::new());
            let losses = g.train(|optimizer| {
                let loss = g.loss()?.to_scalar()?;
                if loss < best.0 {
                    best = (loss, g.net.vars().iter().map(|var| var.copy()).collect::<Result<_>>()?);
                }
                g.epoch(optimizer)
            });
            if g.n_epochs > 1 {
                g.net.vars().iter().zip(&best.1).try_for_each(|(var, best)| var.set(best))?;
            }
            losses
        }),
        ("only the first stimulus is used", |g| train_on(g, |_| vec![0])),
        ("the loss of epoch 1: expected", |g| train_on(g, |_| (0..100).collect())),
        ("the change of W_in up to epoch 1: expected", |g| g.train_by(|optimizer| {
            train_batches(g, 32, optimizer).map(drop)
        })),
        ("the change of W_in up to epoch 1: expected", |g| g.train_by(|optimizer| {
            train_batches(g, 200, optimizer).map(drop)
        })),
        ("make one step in each epoch", |g| g.train(|optimizer| train_batches(g, 1, optimizer))),
        ("another loss is used", |g| Given { loss_fn: loss::mse, ..g }.train_correctly()),
        ("its arguments are swapped", |g| g.train(|optimizer| {
            step(optimizer, &(g.loss_fn)(g.labels, &g.net.forward(g.data)?)?)
        })),
        ("another loss is used", |g| g.train_by(|optimizer| { // for the gradients alone
            optimizer.backward_step(&loss::mse(&g.net.forward(g.data)?, g.labels)?)
        })),
        ("got NaN", |g| g.train(|optimizer| Ok(g.epoch(optimizer)? * f32::NAN))),
        ("all epochs use the gradients of the first", |g| {
            let gradients = g.loss()?.backward()?; // once, before the loop
            g.train_by(|optimizer| optimizer.step(&gradients))
        }),
        ("make one step in each epoch", |g| g.train(|optimizer| {
            let loss = g.epoch(optimizer);
            g.epoch(optimizer)?;
            loss
        })),
        ("make one step in each epoch", |g| { // after the last epoch
            let losses = g.train_correctly()?;
            SGD::new(g.net.vars(), g.learning_rate)?.backward_step(&g.loss()?)?;
            Ok(losses)
        }),
        ("the change of b_out up to epoch 1: expected", |g| {
            let losses = g.train_correctly()?;
            let bias = g.net.out_layer.bias();
            bias.set(&(bias.as_tensor() + 1.0)?)?;
            Ok(losses)
        }),
        ("W_out and b_out should have changed", |g| train_groups(g, vec![g.net.in_layer.vars()])),
        ("b_in and b_out should have changed", |g| train_groups(g, vec![vec![g.net.in_layer.weight().clone(), g.net.out_layer.weight().clone()]])),
        ("the loss of epoch 1: expected", |g| g.train_correctly().map(|mut losses| { losses.reverse(); losses })),
        ("these steps have momentum", |g| train_using(g, SGD::with_momentum(g.net.vars(), g.learning_rate, 0.9)?)),
        ("as with AdamW", |g| train_using(g, candle_nn::AdamW::new_lr(g.net.vars(), g.learning_rate)?)),
        ("as with Adam", |g| train_using(g, candle_nn::AdamW::new(g.net.vars(), candle_nn::ParamsAdamW { lr: g.learning_rate, weight_decay: 0.0, ..Default::default() })?)),
        ("all numbers are 0.1463 times", |g| train_with(g, |gradient, _| { // clipped
            let norm = f64::from(gradient.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?);
            gradient * (1e4 / norm).min(1.0)
        })),
        ("in each epoch, compute new gradients", |g| train_with(g, |gradient, var| gradient + (var.as_tensor() * 5e-4)?)),
        ("in each epoch, compute new gradients", |g| train_with(g, |gradient, var| gradient + (var.sign()? * 1e-2)?)),
        ("these numbers are rounded", |g| g.train_correctly().map(|losses| losses.iter().map(|loss| (loss * 100.0).round() / 100.0).collect())),
        ("250 times too much", |g| g.train_correctly().map(|losses| losses.iter().map(|loss| loss * 250.0).collect())),
        ("the loss is kept as it is", |g| g.train(|optimizer| Ok(-g.epoch(optimizer)?))),
        ("leave out the division", |g| g.train(|optimizer| Ok(g.epoch(optimizer)? / 250.0))),
        ("leave out the square root", |g| g.train(|optimizer| Ok(g.epoch(optimizer)?.sqrt()))),
        ("in each epoch, compute the output", |g| g.train(|optimizer| {
            step(optimizer, &(g.loss_fn)(&g.net.forward(g.data)?.relu()?, g.labels)?)
        })),
        ("the loss of epoch 2: expected", |g| g.train_correctly().map(|losses| vec![losses[0]; losses.len()])),
    ];
    assert_all(cases.map(|(hint, answer)| (hint, check_train(answer))));
}

#[test]
fn training_without_gradients_is_an_error() {
    let net = new_net(5, 4);
    let data = TorchRng::manual_seed(2).uniform(20, 0.0, 1.0);
    let data = Tensor::from_vec(data, (4, 5), &Device::Cpu).unwrap();
    let labels = data.narrow(1, 0, 1).unwrap();
    let losses: [LossFn; 3] = [
        |out, labels| loss::mse(&out.detach(), labels),
        |out, labels| loss::mse(&Tensor::new(out.to_vec2::<f32>()?, &Device::Cpu)?, labels),
        |out, labels| loss::mse(&candle_nn::ops::softmax_last_dim(out)?, labels),
    ];
    for loss_fn in losses {
        let err = train(&net, loss_fn, &data, &labels, 2, 0.1).unwrap_err().to_string();
        let line = err.lines().next().unwrap();
        assert!(line.contains("expected a loss that depends on the parameters"), "{err}");
    }
}
