//! The bonus notebook's checks accept right answers in many styles, and give wrong ones their hint.

use helpers::candle_nn::ops::log_softmax;
use helpers::*;

type ToSinCos = fn(&Tensor) -> Result<Tensor>;
type Angle = fn(f32, f32) -> f32;
type Penalty = fn(&Tensor, f64, f64) -> Result<Tensor>;

#[track_caller]
fn assert_ok(verdict: Result<checks::Verdict>) {
    let verdict = verdict.unwrap();
    assert!(verdict.is_ok(), "{verdict}");
}

#[track_caller]
fn assert_hint(verdict: Result<checks::Verdict>, hint: &str) {
    let verdict = verdict.unwrap();
    let text = verdict.to_string();
    assert!(!verdict.is_ok(), "{text}");
    assert!(text.contains(hint), "expected {hint:?} in {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// The gradient as in the notebook, with a change.
fn gradient(change: &'static str) -> impl Fn(&DeepNetReLU, &Tensor, &Tensor) -> Result<Tensor> {
    move |net, r, ori| {
        let z = net.in_layer.forward(r)?;
        let h = z.relu()?;
        let error = (net.out_layer.forward(&h)? - ori)?;
        let n = if change == "sum" { 1.0 } else { r.dim(0)? as f64 };
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
fn gradient_by_hand() {
    assert_ok(check_exercise_gradient(gradient("")));
    // In another way: by the library.
    assert_ok(check_exercise_gradient(|net, r, ori| {
        let gradients = loss::mse(&net.forward(r)?, ori)?.backward()?;
        Ok(gradients.get(net.in_layer.weight()).unwrap().clone())
    }));
    // And with a loop over stimuli.
    assert_ok(check_exercise_gradient(|net, r, ori| {
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
        ("sign", "the gradient is negated"),
        ("no slope", "pass no gradient on"),
        ("h for slope", "multiplies by h itself"),
        ("transposed", "got its transpose"),
        ("panic", "your code panicked: no idea"),
        ("one stimulus", "go through the equations line by line"),
    ] {
        assert_hint(check_exercise_gradient(gradient(change)), hint);
    }
}

fn to_sin_cos(stimuli: &Tensor) -> Result<Tensor> {
    let radians = (stimuli * (std::f64::consts::PI / 180.0))?;
    Tensor::cat(&[radians.sin()?, radians.cos()?], 1)
}

fn from_sin_cos(out: &Tensor) -> Result<Tensor> {
    angles(out, |sin, cos| sin.atan2(cos).to_degrees().rem_euclid(360.0))
}

/// What `angle` computes from each pair of sine and cosine.
fn angles(out: &Tensor, angle: Angle) -> Result<Tensor> {
    let pairs = out.to_vec2::<f32>()?;
    let angles: Vec<f32> = pairs.iter().map(|pair| angle(pair[0], pair[1])).collect();
    Tensor::from_vec(angles, (pairs.len(), 1), &Device::Cpu)
}

#[test]
fn sine_and_cosine() {
    assert_ok(check_exercise_sin_cos(to_sin_cos, from_sin_cos));
    assert_ok(check_exercise_sin_cos(to_sin_cos, |out| {
        angles(out, |sin, cos| (sin.atan2(cos).to_degrees() + 360.0) % 360.0)
    }));
    let cases: [(&str, ToSinCos); 5] = [
        ("want radians", |s| Tensor::cat(&[s.sin()?, s.cos()?], 1)),
        ("should have shape [7, 2]", |s| to_sin_cos(s)?.narrow(1, 0, 1)),
        ("sine comes first", |s| {
            let both = to_sin_cos(s)?;
            Tensor::cat(&[both.narrow(1, 1, 1)?, both.narrow(1, 0, 1)?], 1)
        }),
        ("the sine twice", |s| {
            let sin = to_sin_cos(s)?.narrow(1, 0, 1)?;
            Tensor::cat(&[&sin, &sin], 1)
        }),
        ("the columns are sine and cosine", |s| to_sin_cos(&(s * 2.0)?)),
    ];
    for (hint, to) in cases {
        assert_hint(check_exercise_sin_cos(to, from_sin_cos), hint);
    }
    let cases: [(&str, Angle); 4] = [
        ("half of the angles are negative", |sin, cos| sin.atan2(cos).to_degrees()),
        ("sine and cosine are swapped", |sin, cos| cos.atan2(sin).to_degrees().rem_euclid(360.0)),
        ("that is in radians", |sin, cos| sin.atan2(cos).rem_euclid(std::f32::consts::TAU)),
        ("is sine.atan2(cosine)", |sin, cos| (sin / cos).atan().to_degrees().rem_euclid(360.0)),
    ];
    for (hint, angle) in cases {
        let from = |out: &Tensor| angles(out, angle);
        assert_hint(check_exercise_sin_cos(to_sin_cos, from), hint);
    }
}

fn chosen(log_p: &Tensor, classes: &Tensor) -> Result<Tensor> {
    log_p.gather(&classes.unsqueeze(1)?, 1)
}

#[test]
fn negative_log_likelihood() {
    assert_ok(check_exercise_nll(loss::nll));
    assert_ok(check_exercise_nll(|log_p, classes| chosen(log_p, classes)?.mean_all()?.neg()));
    let cases: [(&str, checks::LossFn); 9] = [
        ("the sign is missing", |p, c| chosen(p, c)?.mean_all()),
        ("take the mean", |p, c| chosen(p, c)?.sum_all()?.neg()),
        ("without the minus", |p, c| chosen(p, c)?.sum_all()),
        ("no exp()", |p, c| chosen(&p.exp()?, c)?.mean_all()?.neg()),
        ("only the true class", |p, _| p.mean_all()?.neg()),
        ("take the true one", |p, _| p.max(1)?.mean_all()?.neg()),
        ("one number, got one for each stimulus", |p, c| chosen(p, c)?.neg()),
        ("true class, the mean of these", |p, c| {
            chosen(&log_softmax(&p.neg()?, D::Minus1)?, c)?.mean_all()
        }),
        ("write it in place of the todo!", |p, _| todo!("Exercise: {:?}", p.dims())),
    ];
    for (hint, nll) in cases {
        assert_hint(check_exercise_nll(nll), hint);
    }
}

#[test]
fn penalties() {
    fn l2_part(w: &Tensor) -> Result<Tensor> {
        w.sqr()?.sum_all()
    }
    fn l1_part(w: &Tensor) -> Result<Tensor> {
        w.abs()?.sum_all()
    }
    assert_ok(check_exercise_penalty(|w, l2, l1| (l2_part(w)? * l2)? + (l1_part(w)? * l1)?));
    assert_ok(check_exercise_penalty(|w, l2, l1| {
        ((w * w)? * l2)?.sum_all()? + (w.abs()? * l1)?.sum_all()?
    }));
    let cases: [(&str, Penalty); 8] = [
        ("swapped", |w, l2, l1| (l2_part(w)? * l1)? + (l1_part(w)? * l2)?),
        ("the L1 part is missing", |w, l2, _| l2_part(w)? * l2),
        ("the L2 part is missing", |w, _, l1| l1_part(w)? * l1),
        ("these are means", |w, l2, l1| {
            (w.sqr()?.mean_all()? * l2)? + (w.abs()?.mean_all()? * l1)?
        }),
        ("no square root", |w, l2, l1| (l2_part(w)?.sqrt()? * l2)? + (l1_part(w)? * l1)?),
        ("abs() is missing", |w, l2, l1| (l2_part(w)? * l2)? + (w.sum_all()? * l1)?),
        ("should have shape []", |w, l2, l1| ((w.sqr()? * l2)? + (w.abs()? * l1)?)?.sum(0)),
        ("l2 times the sum of the squares", |w, _, _| w.sum_all()),
    ];
    for (hint, penalty) in cases {
        assert_hint(check_exercise_penalty(penalty), hint);
    }
}
