//! The bonus notebook's checks on right answers in different styles, and on wrong ones.

use helpers::candle_nn::ops::log_softmax;
use helpers::*;

#[track_caller]
fn right(verdict: Result<checks::Verdict>) {
    let verdict = verdict.unwrap();
    assert!(verdict.is_ok(), "{verdict}");
}

#[track_caller]
fn wrong(verdict: Result<checks::Verdict>, hint: &str) {
    let verdict = verdict.unwrap();
    assert!(!verdict.is_ok(), "told ok");
    let verdict = verdict.to_string();
    assert!(verdict.contains(hint), "expected {hint:?}, got {verdict:?}");
    assert_eq!(verdict.lines().count(), 1, "{verdict}");
}

/// The gradient as in the notebook, with a change.
fn gradient(change: &'static str) -> impl Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor> {
    move |net, r, ori| {
        let z = net.in_layer.forward(r)?;
        let h = z.relu()?;
        let error = (net.out_layer.forward(&h)? - ori)?;
        let n = match change {
            "sum" => 1.0,
            _ => r.dim(0)? as f64,
        };
        let two = if change == "no two" { 1.0 } else { 2.0 };
        let sign = if change == "sign" { -1.0 } else { 1.0 };
        let dl_dh = (error.matmul(net.out_layer.weight())? * (sign * two / n))?;
        let slope = match change {
            "no slope" => z.ones_like()?,
            "h for slope" => h.clone(),
            _ => h.gt(0.0)?.to_dtype(DType::F32)?,
        };
        let dl_dz = (dl_dh * slope)?;
        match change {
            "transposed" => r.t()?.matmul(&dl_dz),
            "panic" => panic!("no idea"),
            "one stimulus" => dl_dz.narrow(0, 0, 1)?.t()?.matmul(&r.narrow(0, 0, 1)?),
            _ => dl_dz.t()?.matmul(r),
        }
    }
}

#[test]
fn the_gradient_by_hand() {
    right(check_exercise_gradient(gradient("")));
    // In another way: by the library.
    right(check_exercise_gradient(|net, r, ori| {
        let gradients = loss::mse(&net.forward(r)?, ori)?.backward()?;
        Ok(gradients.get(net.in_layer.weight()).unwrap().clone())
    }));
    // And with a loop over stimuli.
    right(check_exercise_gradient(|net, r, ori| {
        let n = r.dim(0)?;
        let mut sum = net.in_layer.weight().zeros_like()?;
        for i in 0..n {
            let (r, ori) = (r.narrow(0, i, 1)?, ori.narrow(0, i, 1)?);
            sum = (sum + gradient("")(net, &r, &ori)?)?;
        }
        sum / n as f64
    }));
    for (change, hint) in [
        ("sum", "divide by their number P"),
        ("no two", "the 2 of the square's derivative is missing"),
        ("sign", "the sign is turned"),
        ("no slope", "pass no gradient on"),
        ("h for slope", "multiplies by h itself"),
        ("transposed", "got its transpose"),
        ("panic", "your code stopped with: no idea"),
        ("one stimulus", "go through the equations line by line"),
    ] {
        wrong(check_exercise_gradient(gradient(change)), hint);
    }
}

fn to_sin_cos(stimuli: &Tensor) -> Result<Tensor> {
    let radians = (stimuli * (std::f64::consts::PI / 180.0))?;
    Tensor::cat(&[radians.sin()?, radians.cos()?], 1)
}

fn from_sin_cos(out: &Tensor) -> Result<Tensor> {
    let pairs = out.to_vec2::<f32>()?;
    let degrees: Vec<f32> = pairs
        .iter()
        .map(|pair| pair[0].atan2(pair[1]).to_degrees().rem_euclid(360.0))
        .collect();
    Tensor::from_vec(degrees, (pairs.len(), 1), &Device::Cpu)
}

/// `from_sin_cos` with what it computes from a pair.
fn from(f: fn(f32, f32) -> f32) -> impl Fn(&Tensor) -> Result<Tensor> {
    move |out| {
        let pairs = out.to_vec2::<f32>()?;
        let degrees: Vec<f32> = pairs.iter().map(|pair| f(pair[0], pair[1])).collect();
        Tensor::from_vec(degrees, (pairs.len(), 1), &Device::Cpu)
    }
}

#[test]
fn sine_and_cosine() {
    right(check_exercise_sin_cos(to_sin_cos, from_sin_cos));
    right(check_exercise_sin_cos(
        to_sin_cos,
        from(|sin, cos| (sin.atan2(cos).to_degrees() + 360.0) % 360.0),
    ));
    for (to, hint) in [
        (
            |s: &Tensor| Tensor::cat(&[s.sin()?, s.cos()?], 1),
            "want radians",
        ),
        (
            |s: &Tensor| to_sin_cos(s)?.narrow(1, 0, 1),
            "should have shape [7, 2]",
        ),
        (
            |s: &Tensor| {
                let both = to_sin_cos(s)?;
                Tensor::cat(&[both.narrow(1, 1, 1)?, both.narrow(1, 0, 1)?], 1)
            },
            "sine comes first",
        ),
        (
            |s: &Tensor| to_sin_cos(&(s * 2.0)?),
            "the columns are sine and cosine",
        ),
    ] as [(fn(&Tensor) -> Result<Tensor>, &str); 4]
    {
        wrong(check_exercise_sin_cos(to, from_sin_cos), hint);
    }
    for (f, hint) in [
        (
            (|sin, cos| sin.atan2(cos).to_degrees()) as fn(f32, f32) -> f32,
            "half of the angles are negative",
        ),
        (
            |sin, cos| cos.atan2(sin).to_degrees().rem_euclid(360.0),
            "sine and cosine are swapped",
        ),
        (
            |sin, cos| sin.atan2(cos).rem_euclid(std::f32::consts::TAU),
            "that is in radians",
        ),
        (
            |sin, cos| (sin / cos).atan().to_degrees().rem_euclid(360.0),
            "sine.atan2(cosine)",
        ),
    ] {
        wrong(check_exercise_sin_cos(to_sin_cos, from(f)), hint);
    }
}

fn chosen(log_p: &Tensor, classes: &Tensor) -> Result<Tensor> {
    log_p.gather(&classes.unsqueeze(1)?, 1)
}

#[test]
fn negative_log_likelihood() {
    right(check_exercise_nll(loss::nll));
    right(check_exercise_nll(|log_p, classes| {
        chosen(log_p, classes)?.mean_all()?.neg()
    }));
    for (nll, hint) in [
        (
            (|p, c| chosen(p, c)?.mean_all()) as fn(&Tensor, &Tensor) -> Result<Tensor>,
            "the sign is missing",
        ),
        (|p, c| chosen(p, c)?.sum_all()?.neg(), "take the mean"),
        (|p, c| chosen(p, c)?.sum_all(), "without the minus"),
        (|p, c| chosen(&p.exp()?, c)?.mean_all()?.neg(), "no exp()"),
        (|p, _| p.mean_all()?.neg(), "only the true class"),
        (|p, _| p.max(1)?.mean_all()?.neg(), "take the true one"),
        (
            |p, c| chosen(p, c)?.neg(),
            "one number, got one for each stimulus",
        ),
        (
            |p, c| chosen(&log_softmax(&p.neg()?, D::Minus1)?, c)?.mean_all(),
            "true class, the mean of these",
        ),
        (
            |p, _| todo!("Exercise: {:?}", p.dims()),
            "write it in place of the todo!",
        ),
    ] {
        wrong(check_exercise_nll(nll), hint);
    }
}

#[test]
fn penalties() {
    let sums =
        |w: &Tensor| -> Result<(Tensor, Tensor)> { Ok((w.sqr()?.sum_all()?, w.abs()?.sum_all()?)) };
    right(check_exercise_penalty(|w, l2, l1| {
        let (squares, sizes) = sums(w)?;
        (squares * l2)? + (sizes * l1)?
    }));
    right(check_exercise_penalty(|w, l2, l1| {
        ((w * w)? * l2)?.sum_all()? + (w.abs()? * l1)?.sum_all()?
    }));
    for (penalty, hint) in [
        (
            (|w, l2, l1| (w.sqr()?.sum_all()? * l1)? + (w.abs()?.sum_all()? * l2)?)
                as fn(&Tensor, f64, f64) -> Result<Tensor>,
            "swapped",
        ),
        (
            |w, l2, _| w.sqr()?.sum_all()? * l2,
            "the L1 part is missing",
        ),
        (
            |w, _, l1| w.abs()?.sum_all()? * l1,
            "the L2 part is missing",
        ),
        (
            |w, l2, l1| (w.sqr()?.mean_all()? * l2)? + (w.abs()?.mean_all()? * l1)?,
            "these are means",
        ),
        (
            |w, l2, l1| (w.sqr()?.sum_all()?.sqrt()? * l2)? + (w.abs()?.sum_all()? * l1)?,
            "no square root",
        ),
        (
            |w, l2, l1| (w.sqr()?.sum_all()? * l2)? + (w.sum_all()? * l1)?,
            "abs() is missing",
        ),
        (
            |w, l2, l1| ((w.sqr()? * l2)? + (w.abs()? * l1)?)?.sum(0),
            "should have shape []",
        ),
        (|w, _, _| w.sum_all(), "l2 times the sum of the squares"),
    ] {
        wrong(check_exercise_penalty(penalty), hint);
    }
}
