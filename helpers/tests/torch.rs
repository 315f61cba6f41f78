//! PyTorch's and NumPy's own numbers. `data/torch.json` was written by PyTorch 2.15 and NumPy
//! 2.4: generators and initial weights must be equal, losses equal to 1e-4.

use std::sync::LazyLock;

use helpers::net::DeepNetReLU;
use helpers::train::train;
use helpers::*;
use serde_json::Value;

static GOLDEN: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("data/torch.json")).unwrap());

fn cases(name: &str) -> &'static [Value] {
    let cases = GOLDEN[name].as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

fn int(case: &Value, name: &str) -> usize {
    case[name].as_u64().unwrap() as usize
}

fn ints(case: &Value, name: &str) -> Vec<usize> {
    case[name].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect()
}

fn floats(case: &Value, name: &str) -> Vec<f32> {
    case[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn rng(case: &Value) -> TorchRng {
    TorchRng::manual_seed(int(case, "seed") as u64)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(got: &[f32], expected: &[f32], relative: f32) {
    assert_eq!(got.len(), expected.len());
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let near = (got - expected).abs() <= relative * expected.abs().max(1e-2);
        assert!(near, "position {i}: {got} is not {expected}");
    }
}

#[test]
fn rand_is_torchs() {
    for case in cases("rand") {
        assert_eq!(rng(case).rand(int(case, "n")), floats(case, "values"));
    }
}

#[test]
fn randn_is_torchs() {
    for case in cases("randn") {
        let mut rng = rng(case);
        let got: Vec<f32> = ints(case, "n").into_iter().flat_map(|n| rng.randn(n)).collect();
        assert_eq!(got, floats(case, "values"));
    }
    // The sum of the bits of many numbers, each of which must be right.
    let many = TorchRng::manual_seed(3).randn(1_000_000);
    assert_eq!(many.iter().map(|x| u64::from(x.to_bits())).sum::<u64>(), 2_132_908_429_113_629);
}

#[test]
fn randperm_is_torchs() {
    for case in cases("randperm") {
        assert_eq!(rng(case).randperm(int(case, "n")), ints(case, "values"));
    }
    assert!(TorchRng::manual_seed(4).randperm(0).is_empty());
    assert_eq!(TorchRng::manual_seed(4).randperm(1), [0]);
}

#[test]
fn choice_is_numpys() {
    for case in cases("choice") {
        let mut rng = NumpyRng::seed(int(case, "seed") as u32);
        let replace = case["replace"].as_bool().unwrap();
        let choice = if replace { NumpyRng::choice } else { NumpyRng::choice_without_replacement };
        let got = choice(&mut rng, int(case, "n"), int(case, "k"));
        assert_eq!(got, ints(case, "values"));
    }
}

#[test]
fn initial_weights_are_torchs() {
    for case in cases("linear_init") {
        let (n_inputs, n_hidden) = (int(case, "n_inputs"), int(case, "n_hidden"));
        let net = DeepNetReLU::new(&mut rng(case), n_inputs, n_hidden).unwrap();
        let vars = net.vars();
        let shapes: Vec<_> = vars.iter().map(|var| var.dims().to_vec()).collect();
        assert_eq!(shapes, [vec![n_hidden, n_inputs], vec![n_hidden], vec![1, n_hidden], vec![1]]);

        let in_weight = values(&vars[0]);
        assert!(in_weight.starts_with(&floats(case, "in_weight_first")));
        assert!(in_weight.ends_with(&floats(case, "in_weight_last")));
        for (var, name) in vars[1..].iter().zip(["in_bias", "out_weight", "out_bias"]) {
            assert_eq!(values(var), floats(case, name), "{name}");
        }

        let sum: f64 = in_weight.iter().map(|&w| f64::from(w)).sum();
        let abs_sum: f64 = in_weight.iter().map(|&w| f64::from(w).abs()).sum();
        assert!((sum - case["in_weight_sum"].as_f64().unwrap()).abs() < 1e-6);
        assert!((abs_sum - case["in_weight_abs_sum"].as_f64().unwrap()).abs() < 1e-6);
    }
}

#[test]
fn output_gradient_and_losses_are_torchs() {
    for case in cases("train") {
        let (n_stimuli, n_inputs) = (int(case, "n_stimuli"), int(case, "n_inputs"));
        let mut data_rng = TorchRng::manual_seed(int(case, "data_seed") as u64);
        let x = data_rng.rand(n_stimuli * n_inputs).iter().map(|u| u * 2.0 - 0.5).collect();
        let y = data_rng.rand(n_stimuli).iter().map(|u| u * 360.0).collect();
        let x = Tensor::from_vec(x, (n_stimuli, n_inputs), &Device::Cpu).unwrap();
        let y = Tensor::from_vec(y, (n_stimuli, 1), &Device::Cpu).unwrap();

        let net = DeepNetReLU::new(&mut rng(case), n_inputs, int(case, "n_hidden")).unwrap();
        let out = net.forward(&x).unwrap();
        assert_close(&values(&out), &floats(case, "initial_output"), 1e-4);

        let gradients = loss::mse(&out, &y).unwrap().backward().unwrap();
        let gradients: Vec<_> =
            net.vars().iter().map(|var| values(gradients.get(var).unwrap())).collect();
        let expected = &case["first_gradient"];
        assert_close(&gradients[1], &floats(expected, "in_bias"), 1e-4);
        assert_close(&gradients[2], &floats(expected, "out_weight"), 1e-4);
        assert_close(&gradients[3], &floats(expected, "out_bias"), 1e-4);
        let abs_sum: f32 = gradients[0].iter().map(|g| g.abs()).sum();
        assert_close(&[abs_sum], &[expected["in_weight_abs_sum"].as_f64().unwrap() as f32], 1e-4);

        let lr = case["lr"].as_f64().unwrap();
        let losses = train(&net, loss::mse, &x, &y, int(case, "n_epochs"), lr).unwrap();
        assert_close(&losses, &floats(case, "losses"), 1e-4);
    }
}
