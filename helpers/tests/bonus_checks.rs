//! The bonus notebook's checks accept right answers in many styles, and give wrong ones their hint.

#![allow(clippy::approx_constant)] // some answers round it

mod verdicts;

use std::f32::consts::TAU;
use std::f64::consts::PI;

use helpers::candle_nn::encoding::one_hot;
use helpers::candle_nn::ops::{log_softmax, softmax_last_dim};
use helpers::checks::{LossFn, Verdict, unanswered};
use helpers::net::DeepNetReLU;
use helpers::*;

use verdicts::assert_all;

/// The variables of the exercise's cell that the answers use.
struct Given<'a> {
    net: &'a DeepNetReLU,
    r: &'a Tensor,   // (P, N)
    ori: &'a Tensor, // (P, 1)
    n: f64,          // P
    z: Tensor,       // (P, M)
    active: Tensor,  // (P, M)
    error: Tensor,   // (P, 1)
    w_out: &'a Var,  // (1, M)
}

impl Given<'_> {
    /// The gradient with respect to `h`, `(P, M)`.
    fn dl_dh(&self) -> Result<Tensor> {
        self.error.matmul(self.w_out)? * (2.0 / self.n)
    }

    fn product(&self, dl_dz: Result<Tensor>) -> Result<Tensor> {
        dl_dz?.t()?.matmul(self.r)
    }

    fn right(&self) -> Result<Tensor> {
        self.product(self.dl_dh()? * &self.active)
    }

    fn by_backward(&self, loss: Result<Tensor>) -> Result<Tensor> {
        Ok(loss?.backward()?.get(self.net.in_layer.weight()).unwrap().clone())
    }

    fn loss(&self) -> Result<Tensor> {
        loss::mse(&self.net.forward(self.r)?, self.ori)
    }
}

type Gradient = fn(Given) -> Result<Tensor>;

fn check_gradient(answer: Gradient) -> Verdict {
    check_exercise_gradient(|net, r, ori| {
        let z = net.in_layer.forward(r)?;
        let active = z.gt(0.0)?.to_dtype(DType::F32)?;
        let error = (net.out_layer.forward(&z.relu()?)? - ori)?;
        answer(Given {
            net,
            r,
            ori,
            n: r.dim(0)? as f64,
            z,
            active,
            error,
            w_out: net.out_layer.weight(),
        })
    })
    .unwrap()
}

#[test]
#[rustfmt::skip] // one line each answer
fn correct_gradients_in_many_styles() {
    let answers: [Gradient; 16] = [
        |g| g.right(),
        |g| g.by_backward(g.loss()),
        |g| g.r.t()?.matmul(&(g.dl_dh()? * &g.active)?)?.t(),
        |g| g.product(g.active.broadcast_mul(g.w_out)?.broadcast_mul(&g.error)? * (2.0 / g.n)),
        |g| g.product(g.error.broadcast_mul(g.w_out)? * &g.active)? * (2.0 / g.n),
        |g| (g.product(g.dl_dh()? * &g.active)? + g.right()?)? / 2.0,
        |g| g.product(g.active.gt(0.5)?.where_cond(&g.dl_dh()?, &g.z.zeros_like()?)),
        |g| g.product(g.dl_dh()? * ((g.z.sign()? + 1.0)? / 2.0)?),
        |g| g.product(g.dl_dh()? * g.z.relu()?.sign()?),
        |g| g.product(g.dl_dh()? * g.z.relu()?.div(&g.z)?),
        |g| g.product(g.dl_dh()? * g.z.ge(0f32)?.to_dtype(DType::F32)?),
        |g| (g.dl_dh()?.to_dtype(DType::F64)? * g.active.to_dtype(DType::F64)?)?.t()?.matmul(&g.r.to_dtype(DType::F64)?)?.to_dtype(DType::F32),
        |g| g.by_backward((g.net.forward(g.r)? - g.ori)?.sqr()?.mean_all()),
        |g| g.by_backward((g.net.forward(g.r)? - g.ori)?.sqr()?.sum_all()? / g.n),
        |g| {
            let dl_dz = (g.dl_dh()? * &g.active)?;
            let each = (0..g.r.dim(0)?).map(|i| dl_dz.narrow(0, i, 1)?.t()?.matmul(&g.r.narrow(0, i, 1)?));
            Tensor::stack(&each.collect::<Result<Vec<_>>>()?, 0)?.sum(0)
        },
        |g| { // plain loops
            let (dl_dz, r) = ((g.dl_dh()? * &g.active)?.to_vec2::<f32>()?, g.r.to_vec2::<f32>()?);
            let (m, n) = (dl_dz[0].len(), r[0].len());
            let number = |k: usize| (0..r.len()).map(|p| dl_dz[p][k / n] * r[p][k % n]).sum::<f32>();
            Tensor::from_vec((0..m * n).map(number).collect::<Vec<_>>(), (m, n), &Device::Cpu)
        },
    ];
    assert_all(answers.map(|answer| ("ok: ", check_gradient(answer))));
}

#[test]
#[rustfmt::skip] // one line each answer
fn wrong_gradients_get_their_hint() {
    let cases: [(&str, Gradient); 33] = [
        ("in place of unsolved::gradient(..)", |g| unsolved::gradient(g.r, &g.active, &g.error, g.w_out, g.n)),
        ("run the cell of the exercise first", |g| unanswered::gradient_of_w_in(g.net, g.r, g.ori)),
        ("your code panicked: no idea", |_| panic!("no idea")),
        ("your code returned an error: shape mismatch in matmul", |g| g.dl_dh()?.matmul(g.r)),
        ("should have type F32, got F64", |g| g.right()?.to_dtype(DType::F64)),
        ("this is the transpose", |g| g.right()?.t()),
        ("the shape of W_out", |g| g.error.t()?.matmul(&g.z.relu()?)),
        ("the shape of b_in", |g| (g.dl_dh()? * &g.active)?.sum(0)),
        ("the shape of the hidden layer", |g| g.dl_dh()? * &g.active),
        ("should have shape [5, 7], got []", |g| g.right()?.sum_all()),
        ("the gradient of the sum", |g| g.right()? * g.n),
        ("multiply by 2, from", |g| g.right()? * 0.5),
        ("multiply by 2 / P", |g| g.right()? * (0.5 * g.n)),
        ("instead of 216", |g| g.right()? * (g.n / 216.0)),
        ("change the sign", |g| g.right()?.neg()),
        ("inactive units pass no gradient on", |g| g.product(g.dl_dh())),
        ("the slope of the ReLU, and divide by", |g| g.product(g.dl_dh()? * g.n)),
        ("active instead of h", |g| g.product(g.dl_dh()? * g.z.relu()?)),
        ("active instead of z", |g| g.product(g.dl_dh()? * &g.z)),
        ("active instead of 1 - active", |g| g.product(g.dl_dh()? * (1.0 - &g.active)?)),
        ("without taking its mean", |g| g.product(g.dl_dh()?.broadcast_mul(&g.active.mean_keepdim(0)?))),
        ("instead of applying relu()", |g| g.product(g.dl_dh()?.relu())),
        ("multiply the error by w_out", |g| g.product(g.active.broadcast_mul(&g.error)? * (2.0 / g.n))),
        ("all numbers are 2 times", |g| g.right()? * 2.0),
        ("changes the parameters of net", |g| {
            let w_in = g.net.in_layer.weight();
            w_in.set(&(w_in.as_tensor() * 0.5)?)?;
            g.by_backward(g.loss())
        }),
        ("follow the equation factor by factor", |g| g.product((g.error.abs()?.neg()?.matmul(g.w_out)? * &g.active)? * (2.0 / g.n))),
        ("follow the equation factor by factor", |g| g.right()?.zeros_like()),
        ("follow the equation factor by factor", |g| g.right()?.clamp(-50f32, 50f32)),
        ("these numbers are rounded", |g| g.right()?.round_to(1)),
        ("follow the equation factor by factor", |g| g.product(g.dl_dh()?.broadcast_mul(&g.error)? * &g.active)),
        ("follow the equation factor by factor", |g| g.product(g.error.sign()?.broadcast_mul(g.w_out)? * &g.active)),
        ("follow the equation factor by factor", |g| g.product(g.dl_dh()? * candle_nn::ops::sigmoid(&g.z)?)),
        ("follow the equation factor by factor", |g| g.by_backward(loss::mse(&g.net.forward(&g.r.narrow(0, 0, 1)?)?, &g.ori.narrow(0, 0, 1)?))),
    ];
    assert_all(cases.map(|(hint, answer)| (hint, check_gradient(answer))));
}

type ToSinCos = fn(&Tensor) -> Result<Tensor>;
type Angle = fn(f32, f32) -> f32;

fn to_sin_cos(stimuli: &Tensor) -> Result<Tensor> {
    of_radians(stimuli * (PI / 180.0))
}

fn of_radians(radians: Result<Tensor>) -> Result<Tensor> {
    let radians = radians?;
    Tensor::cat(&[radians.sin()?, radians.cos()?], 1)
}

fn part(stimuli: &Tensor, i: usize) -> Result<Tensor> {
    to_sin_cos(stimuli)?.narrow(1, i, 1)
}

/// What `angle` computes from each pair of sine and cosine.
fn angles(out: &Tensor, angle: Angle) -> Result<Tensor> {
    let pairs = out.to_vec2::<f32>()?;
    let angles: Vec<f32> = pairs.iter().map(|pair| angle(pair[0], pair[1])).collect();
    Tensor::from_vec(angles, (pairs.len(), 1), &Device::Cpu)
}

fn right_angle(sin: f32, cos: f32) -> f32 {
    sin.atan2(cos).to_degrees().rem_euclid(360.0)
}

fn check_to(to: ToSinCos) -> Verdict {
    check_exercise_sin_cos(to, |out| angles(out, right_angle)).unwrap()
}

fn check_from(from: impl Fn(&Tensor) -> Result<Tensor>) -> Verdict {
    check_exercise_sin_cos(to_sin_cos, from).unwrap()
}

#[test]
#[rustfmt::skip] // one line each answer
fn correct_sines_and_cosines_in_many_styles() {
    let answers: [ToSinCos; 16] = [
        to_sin_cos,
        |s| of_radians(s.affine(PI / 180.0, 0.0)),
        |s| of_radians((s / 180.0)? * PI),
        |s| of_radians((s / 360.0)? * (2.0 * PI)),
        |s| of_radians(s * 1f64.to_radians()),
        |s| of_radians(s * 0.0174533),
        |s| of_radians(s * 0.01745),
        |s| of_radians(s * (3.14159 / 180.0)),
        |s| of_radians(s * (3.1416 / 180.0)),
        |s| of_radians(s / 57.29578),
        |s| of_radians(s.broadcast_mul(&Tensor::new(1f32.to_radians(), &Device::Cpu)?)),
        |s| of_radians(s.to_dtype(DType::F64)? * (PI / 180.0))?.to_dtype(DType::F32),
        |s| Tensor::cat(&[part(s, 0)?, part(s, 1)?], D::Minus1),
        |s| Tensor::stack(&[part(s, 0)?.flatten_all()?, part(s, 1)?.flatten_all()?], 1),
        |s| Tensor::cat(&[part(&s.affine(-1.0, 90.0)?, 1)?, part(&s.affine(-1.0, 90.0)?, 0)?], 1),
        |s| {
            let degrees = s.flatten_all()?.to_vec1::<f32>()?;
            let pairs: Vec<f32> = degrees.iter().flat_map(|ori| <[f32; 2]>::from(ori.to_radians().sin_cos())).collect();
            Tensor::from_vec(pairs, (degrees.len(), 2), &Device::Cpu)
        },
    ];
    assert_all(answers.map(|answer| ("ok: ", check_to(answer))));
    let answers: [Angle; 15] = [
        right_angle,
        |s, c| (s.atan2(c).to_degrees() + 360.0) % 360.0,
        |s, c| s.atan2(c).rem_euclid(TAU).to_degrees(),
        |s, c| (s.atan2(c) / TAU).rem_euclid(1.0) * 360.0,
        |s, c| f32::atan2(s, c).to_degrees().rem_euclid(360.0),
        |s, c| (s.atan2(c) * 57.29578).rem_euclid(360.0),
        |s, c| (s.atan2(c) * 57.3).rem_euclid(360.0),
        |s, c| (s.atan2(c) * 180.0 / 3.1416).rem_euclid(360.0),
        |s, c| f64::from(s).atan2(f64::from(c)).to_degrees().rem_euclid(360.0) as f32,
        |s, c| if s < 0.0 { s.atan2(c).to_degrees() + 360.0 } else { s.atan2(c).to_degrees() },
        |s, c| 180.0 - s.atan2(-c).to_degrees(),
        |s, c| (90.0 - c.atan2(s).to_degrees()).rem_euclid(360.0),
        |s, c| (-s).atan2(-c).to_degrees() + 180.0,
        |s, c| { let a = (c / s.hypot(c)).acos().to_degrees(); if s < 0.0 { 360.0 - a } else { a } },
        |s, c| (2.0 * (s / (s.hypot(c) + c)).atan()).to_degrees().rem_euclid(360.0),
    ];
    assert_all(answers.map(|angle| ("ok: ", check_from(|out| angles(out, angle)))));
}

#[test]
#[rustfmt::skip] // one line each answer
fn wrong_sines_and_cosines_get_their_hint() {
    let cases: [(&str, ToSinCos); 23] = [
        ("what the solution computes. from_sin_cos is right.", unsolved::sin_cos),
        ("run the cell of the exercise first", unanswered::to_sin_cos),
        ("your code panicked: no idea", |_| panic!("no idea")),
        ("convert degrees to radians first", |s| of_radians(Ok(s.clone()))),
        ("instead of 180 / pi", |s| of_radians(s * (180.0 / PI))),
        ("should have shape [9, 2], got [9, 1]", |s| part(s, 0)),
        ("should have shape [9, 2], got [2, 9]", |s| to_sin_cos(s)?.t()),
        ("should have shape [9, 2], got [18, 1]", |s| Tensor::cat(&[part(s, 0)?, part(s, 1)?], 0)),
        ("should have type F32, got F64", |s| to_sin_cos(s)?.to_dtype(DType::F64)),
        ("put the sine first", |s| Tensor::cat(&[part(s, 1)?, part(s, 0)?], 1)),
        ("both columns are the sine", |s| Tensor::cat(&[part(s, 0)?, part(s, 0)?], 1)),
        ("both columns are the cosine", |s| Tensor::cat(&[part(s, 1)?, part(s, 1)?], 1)),
        ("change the sign of the sine", |s| to_sin_cos(&s.neg()?)),
        ("the double angle", |s| to_sin_cos(&(s * 2.0)?)),
        ("half the angle", |s| to_sin_cos(&(s / 2.0)?)),
        ("all numbers are 360 times", |s| to_sin_cos(s)? * 360.0),
        ("all numbers are -1 times", |s| to_sin_cos(s)?.neg()),
        ("to_sin_cos: row 1, column 1 (5.3736 degrees): expected 0.0936", |s| to_sin_cos(&s.round()?)),
        ("these numbers are rounded", |s| to_sin_cos(s)?.round_to(2)),
        ("these numbers are rounded", |s| to_sin_cos(s)?.round_to(3)),
        ("in column 1 and its cosine in column 2", |s| of_radians(s * (3.14 / 180.0))),
        ("in column 1 and its cosine in column 2", |s| to_sin_cos(s)?.abs()),
        ("in column 1 and its cosine in column 2", |s| Tensor::cat(&[part(s, 0)?, part(s, 1)?], 0)?.reshape(((), 2))),
    ];
    assert_all(cases.map(|(hint, to)| (hint, check_to(to))));
    let cases: [(&str, ToSinCos); 6] = [
        ("to_sin_cos is right. from_sin_cos: write your own code in place of unsolved::angle(..)", |out| angles(out, unsolved::angle)),
        ("run the cell of the exercise first", unanswered::from_sin_cos),
        ("should have shape [9, 1], got [9]", |out| angles(out, right_angle)?.squeeze(1)),
        ("should have shape [9, 1], got [1, 9]", |out| angles(out, right_angle)?.t()),
        ("should have type F32, got F64", |out| angles(out, right_angle)?.to_dtype(DType::F64)),
        ("your code returned an error: ", |out| out.i((0, 2))),
    ];
    assert_all(cases.map(|(hint, from)| (hint, check_from(from))));
    let cases: [(&str, Angle); 25] = [
        ("use rem_euclid(360.0): half of the angles", |s, c| s.atan2(c).to_degrees()),
        ("instead of abs(), which mirrors", |s, c| s.atan2(c).to_degrees().abs()),
        ("instead of setting them to 0", |s, c| s.atan2(c).to_degrees().max(0.0)),
        ("instead of adding 180", |s, c| s.atan2(c).to_degrees() + 180.0),
        ("instead of adding 360", |s, c| s.atan2(c).to_degrees() + 360.0),
        ("use sin.atan2(cos): sine and cosine are swapped", |s, c| right_angle(c, s)),
        ("sine and cosine are swapped, and", |s, c| c.atan2(s).to_degrees()),
        ("with to_degrees(): this is in radians", |s, c| s.atan2(c).rem_euclid(TAU)),
        ("in radians, and some angles are negative", |s, c| s.atan2(c)),
        ("use to_degrees() before", |s, c| s.atan2(c).rem_euclid(360.0)),
        ("the angles are mirrored", |s, c| right_angle(-s, c)),
        ("do not halve the angles", |s, c| right_angle(s, c) / 2.0),
        ("do not double the angles", |s, c| (2.0 * right_angle(s, c)) % 360.0),
        ("these angles end at 180 degrees", |s, c| right_angle(s, c) % 180.0),
        ("covers only half of the circle", |s, c| (s / c).atan().to_degrees()),
        ("covers only half of the circle", |s, c| (s / c).atan().to_degrees().rem_euclid(360.0)),
        ("asin() and acos() give NaN above 1", |s, _| s.asin().to_degrees().rem_euclid(360.0)),
        ("asin() and acos() give NaN above 1", |_, c| c.acos().to_degrees()),
        ("these numbers are rounded", |s, c| right_angle(s, c).round()),
        ("these numbers are rounded", |s, c| (right_angle(s, c) * 10.0).round() / 10.0),
        ("these numbers are rounded", |s, c| (right_angle(s, c) * 100.0).round() / 100.0),
        ("keep the fraction of a degree", |s, c| right_angle(s, c).floor()),
        ("instead of abs(), which mirrors", |s, c| (c / s.hypot(c)).acos().to_degrees()),
        ("use sin.atan2(cos), convert to degrees", |s, _| s.clamp(-1.0, 1.0).asin().to_degrees().rem_euclid(360.0)),
        ("do not double the angles", |s, c| right_angle(2.0 * s * c, c * c - s * s)),
    ];
    assert_all(cases.map(|(hint, angle)| (hint, check_from(|out| angles(out, angle)))));
}

fn chosen(log_p: &Tensor, classes: &Tensor) -> Result<Tensor> {
    log_p.gather(&classes.unsqueeze(1)?, 1)
}

/// `log_p` with 0 for all classes but the true ones.
fn true_ones(log_p: &Tensor, classes: &Tensor) -> Result<Tensor> {
    log_p * one_hot(classes.clone(), log_p.dim(1)?, 1f32, 0f32)?
}

#[test]
#[rustfmt::skip] // one line each answer
fn correct_likelihoods_in_many_styles() {
    let answers: [LossFn; 16] = [
        loss::nll,
        loss::cross_entropy, // which changes nothing: the softmax of log_p is p
        |p, c| chosen(p, c)?.mean_all()?.neg(),
        |p, c| chosen(p, c)?.neg()?.mean_all(),
        |p, c| chosen(&p.neg()?, c)?.mean_all(),
        |p, c| chosen(p, c)?.sum_all()?.neg()? / p.dim(0)? as f64,
        |p, c| chosen(p, c)?.mean_all()? * -1.0,
        |p, c| chosen(p, c)?.mean_all()?.affine(-1.0, 0.0),
        |p, c| chosen(p, c)?.squeeze(1)?.mean(0)?.neg(),
        |p, c| chosen(&p.exp()?, c)?.log()?.mean_all()?.neg(),
        |p, c| true_ones(p, c)?.sum_all()?.neg()? / p.dim(0)? as f64,
        |p, c| true_ones(p, c)?.sum(1)?.mean_all()?.neg(),
        |p, c| true_ones(p, c)?.mean_all()?.neg()? * p.dim(1)? as f64,
        |p, c| {
            let row = |(i, class): (usize, u32)| p.i((i, class as usize));
            let rows = c.to_vec1::<u32>()?.into_iter().enumerate().map(row);
            Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 0)?.mean_all()?.neg()
        },
        |p, c| p.flatten_all()?.index_select(&(Tensor::arange(0u32, p.dim(0)? as u32, &Device::Cpu)?.affine(p.dim(1)? as f64, 0.0)? + c)?, 0)?.mean_all()?.neg(),
        |p, c| chosen(&p.to_dtype(DType::F64)?, c)?.mean_all()?.neg()?.to_dtype(DType::F32),
    ];
    assert_all(answers.map(|answer| ("ok: ", check_exercise_nll(answer).unwrap())));
    let factor = 1.0;
    let closure = |p: &Tensor, c: &Tensor| loss::nll(p, c)? * factor;
    assert_all([("ok: ", check_exercise_nll(closure).unwrap())]);
}

#[test]
#[rustfmt::skip] // one line each answer
fn wrong_likelihoods_get_their_hint() {
    let cases: [(&str, LossFn); 29] = [
        ("in place of unsolved::nll(..)", unsolved::nll),
        ("run the cell of the exercise first", unanswered::nll),
        ("your code panicked: no idea", |_, _| panic!("no idea")),
        ("has no gradient, so training would learn nothing", |p, c| chosen(&p.detach(), c)?.mean_all()?.neg()),
        ("its gradient is not", |p, c| chosen(p, c)?.mean_all()?.neg()? + (p - p.detach())?.sum_all()?),
        ("should have type F32, got F64", |p, c| loss::nll(&p.to_dtype(DType::F64)?, c)),
        ("its gradient is not: leave out what changes the gradient", |p, c| chosen(&(p.exp()? + 1e-15)?.log()?, c)?.mean_all()?.neg()),
        ("should have shape [], got [1]: use sum_all() or mean_all()", |p, c| loss::nll(p, c)?.reshape(1)),
        ("one number, got one for each stimulus", |p, c| chosen(p, c)?.neg()),
        ("change the sign: log p", |p, c| chosen(p, c)?.mean_all()),
        ("instead of the sum", |p, c| chosen(p, c)?.sum_all()?.neg()),
        ("instead of the sum, and change the sign", |p, c| chosen(p, c)?.sum_all()),
        ("also divided by the number of classes", |p, c| true_ones(p, c)?.mean_all()?.neg()),
        ("number of classes, and change the sign", |p, c| true_ones(p, c)?.mean_all()),
        ("instead of the number of classes", |p, c| chosen(p, c)?.sum_all()?.neg()? / p.dim(1)? as f64),
        ("instead of 216", |p, c| chosen(p, c)?.sum_all()?.neg()? / 216.0),
        ("leave out exp()", |p, c| chosen(&p.exp()?, c)?.mean_all()?.neg()),
        ("the mean over all classes", |p, _| p.mean_all()?.neg()),
        ("the sum over all classes", |p, _| p.sum_all()?.neg()? / p.dim(0)? as f64),
        ("this is the most probable class", |p, _| p.max(1)?.mean_all()?.neg()),
        ("index_select() picks each class from all rows", |p, c| p.index_select(c, 1)?.mean_all()?.neg()),
        ("index_select() picks each class from all rows", |p, c| p.index_select(c, 1)?.sum_all()?.neg()? / p.dim(0)? as f64),
        ("use classes.unsqueeze(1)? as index", |p, c| p.gather(&c.unsqueeze(0)?, 0)?.mean_all()?.neg()),
        ("use classes.unsqueeze(1)? as index", |p, c| p.gather(c, 1)?.mean_all()?.neg()),
        ("all numbers are 0.5 times", |p, c| loss::nll(p, c)? * 0.5),
        ("then the mean over stimuli, then the minus sign", |p, c| chosen(&softmax_last_dim(p)?, c)?.mean_all()),
        ("then the mean over stimuli, then the minus sign", |p, c| chosen(&(p.exp()? + 1e-8)?.log()?, c)?.mean_all()?.neg()),
        ("then the mean over stimuli, then the minus sign", |p, c| chosen(&p.clamp(-10f32, 0f32)?, c)?.mean_all()?.neg()),
        ("then the mean over stimuli, then the minus sign", |p, c| chosen(&log_softmax(&p.neg()?, D::Minus1)?, c)?.mean_all()),
    ];
    assert_all(cases.map(|(hint, nll)| (hint, check_exercise_nll(nll).unwrap())));
}

type Penalty = fn(&Tensor, f64, f64) -> Result<Tensor>;

fn squares(w: &Tensor) -> Result<Tensor> {
    w.sqr()?.sum_all()
}

fn absolutes(w: &Tensor) -> Result<Tensor> {
    w.abs()?.sum_all()
}

#[test]
#[rustfmt::skip] // one line each answer
fn correct_penalties_in_many_styles() {
    let answers: [Penalty; 16] = [
        |w, l2, l1| (squares(w)? * l2)? + (absolutes(w)? * l1)?,
        |w, l2, l1| (absolutes(w)? * l1)? + (squares(w)? * l2)?,
        |w, l2, l1| (squares(w)? * l2)?.add(&(absolutes(w)? * l1)?),
        |w, l2, l1| ((w * w)? * l2)?.sum_all()? + (w.abs()? * l1)?.sum_all()?,
        |w, l2, l1| ((w.sqr()? * l2)? + (w.abs()? * l1)?)?.sum_all(),
        |w, l2, l1| (w.powf(2.0)?.sum_all()? * l2)? + (absolutes(w)? * l1)?,
        |w, l2, l1| (w.abs()?.sqr()?.sum_all()? * l2)? + (absolutes(w)? * l1)?,
        |w, l2, l1| (w.flatten_all()?.sqr()?.sum(0)? * l2)? + (w.flatten_all()?.abs()?.sum(0)? * l1)?,
        |w, l2, l1| (w.sqr()?.sum(1)?.sum(0)? * l2)? + (w.abs()?.sum(0)?.sum(0)? * l1)?,
        |w, l2, l1| (squares(w)? * l2)? + ((w * w.sign()?.detach())?.sum_all()? * l1)?,
        |w, l2, l1| (squares(w)? * l2)? + (w.sqr()?.sqrt()?.sum_all()? * l1)?,
        |w, l2, l1| (squares(w)? * l2)? + ((w.relu()? + w.neg()?.relu()?)?.sum_all()? * l1)?,
        |w, l2, l1| squares(w)?.affine(l2, 0.0)? + absolutes(w)?.affine(l1, 0.0)?,
        |w, l2, l1| (w.sqr()?.mean_all()? * (l2 * w.elem_count() as f64))? + (absolutes(w)? * l1)?,
        |w, l2, l1| (squares(w)?.sqrt()?.sqr()? * l2)? + (absolutes(w)? * l1)?,
        |w, l2, l1| {
            let rows = (0..w.dim(0)?).map(|i| (squares(&w.i(i)?)? * l2)? + (absolutes(&w.i(i)?)? * l1)?);
            Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 0)?.sum_all()
        },
    ];
    assert_all(answers.map(|answer| ("ok: ", check_exercise_penalty(answer).unwrap())));
}

#[test]
#[rustfmt::skip] // one line each answer
fn wrong_penalties_get_their_hint() {
    let cases: [(&str, Penalty); 31] = [
        ("in place of unsolved::penalty(..)", unsolved::penalty),
        ("run the cell of the exercise first", unanswered::regularizer),
        ("your code panicked: no idea", |_, _, _| panic!("no idea")),
        ("has no gradient, so training would learn nothing", |w, l2, l1| (squares(&w.detach())? * l2)? + (absolutes(&w.detach())? * l1)?),
        ("its gradient is not", |w, l2, l1| (squares(w)? * l2)? + (absolutes(&w.detach())? * l1)?),
        ("its gradient is not", |w, l2, l1| (squares(&w.detach())? * l2)? + (absolutes(w)? * l1)?),
        ("should have type F32, got F64", |w, l2, l1| ((squares(w)? * l2)? + (absolutes(w)? * l1)?)?.to_dtype(DType::F64)),
        ("should have shape [], got [3]", |w, l2, l1| ((w.sqr()? * l2)? + (w.abs()? * l1)?)?.sum(0)),
        ("should have shape [], got [1, 1]", |w, l2, l1| ((w.sqr()? * l2)? + (w.abs()? * l1)?)?.sum_keepdim((0, 1))),
        ("swap l1 and l2", |w, l2, l1| (squares(w)? * l1)? + (absolutes(w)? * l2)?),
        ("add the L1 part, ", |w, l2, _| squares(w)? * l2),
        ("add the L2 part, ", |w, _, l1| absolutes(w)? * l1),
        ("sums instead of means", |w, l2, l1| (w.sqr()?.mean_all()? * l2)? + (w.abs()?.mean_all()? * l1)?),
        ("leave out the factor 1/2", |w, l2, l1| (squares(w)? * (0.5 * l2))? + (absolutes(w)? * l1)?),
        ("multiply each sum by its factor", |w, _, _| squares(w)? + absolutes(w)?),
        ("absolute weights by l1", |w, l2, _| (squares(w)? * l2)? + absolutes(w)?),
        ("squared weights by l2", |w, _, l1| squares(w)? + (absolutes(w)? * l1)?),
        ("by l1, not by l2", |w, l2, _| (squares(w)? * l2)? + (absolutes(w)? * l2)?),
        ("by l2, not by l1", |w, _, l1| (squares(w)? * l1)? + (absolutes(w)? * l1)?),
        ("instead of fixed numbers", |w, _, _| (squares(w)? * 1e-2)? + (absolutes(w)? * 5e-4)?),
        ("l2 is squared", |w, l2, l1| squares(&(w * l2)?)? + (absolutes(w)? * l1)?),
        ("instead of subtracting it", |w, l2, l1| (squares(w)? * l2)? - (absolutes(w)? * l1)?),
        ("leave out the square root", |w, l2, l1| (squares(w)?.sqrt()? * l2)? + (absolutes(w)? * l1)?),
        ("use abs() for the L1 part", |w, l2, l1| (squares(w)? * l2)? + (w.sum_all()? * l1)?),
        ("this is the square of the sum", |w, l2, l1| (w.sum_all()?.sqr()? * l2)? + (absolutes(w)? * l1)?),
        ("the absolute value of the sum", |w, l2, l1| (squares(w)? * l2)? + (w.sum_all()?.abs()? * l1)?),
        ("all numbers are 2 times", |w, l2, l1| ((squares(w)? * l2)? + (absolutes(w)? * l1)?)? * 2.0),
        ("all numbers are -1 times", |w, l2, l1| ((squares(w)? * l2)? + (absolutes(w)? * l1)?)?.neg()),
        ("use l2 × (sum of squared weights) + l1 ×", |w, l2, l1| (squares(&w.clamp(-10f32, 10f32)?)? * l2)? + (absolutes(w)? * l1)?),
        ("use l2 × (sum of squared weights) + l1 ×", |w, l2, l1| (squares(w)? * l2)? + (absolutes(&w.narrow(0, 0, 1)?)? * l1)?),
        ("use l2 × (sum of squared weights) + l1 ×", |w, _, _| w.sum_all()),
    ];
    assert_all(cases.map(|(hint, penalty)| (hint, check_exercise_penalty(penalty).unwrap())));
}
