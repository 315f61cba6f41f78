//! The linear layer's forward and backward pass, compared with candle and with finite differences.
//! (`torch.rs` compares with PyTorch.)

use helpers::net::DeepNetReLU;
use helpers::*;

fn random(rng: &mut TorchRng, shape: (usize, usize)) -> Tensor {
    let values = rng.uniform(shape.0 * shape.1, -1.0, 1.0);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn to_vec(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, relative to the largest number.
fn difference(got: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(got.dims(), expected.dims());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, f32::max);
    let (got, expected) = (to_vec(got), to_vec(expected));
    let difference = largest(&mut got.iter().zip(&expected).map(|(a, b)| (a - b).abs()));
    difference / largest(&mut expected.iter().map(|x| x.abs())).max(1e-6)
}

/// Sizes that leave a rest in each kind of tile, or do not fill one.
const SIZES: [(usize, usize, usize); 11] = [
    (1, 1, 1),
    (1, 23_589, 10),
    (2, 3, 1),
    (3, 5, 2),
    (4, 16, 3),
    (5, 17, 6),
    (7, 1_500, 33),
    (9, 4_100, 11),
    (13, 2_049, 200),
    (216, 999, 32),
    (216, 23_589, 10),
];

#[test]
fn output_and_gradients_are_those_of_candle() {
    for (n_stimuli, n_inputs, n_outputs) in SIZES {
        let size = (n_stimuli, n_inputs, n_outputs);
        let mut rng = TorchRng::manual_seed(1);
        let layer = Linear::new(&mut rng, n_inputs, n_outputs).unwrap();
        let (w, b) = (layer.weight(), layer.bias());
        let x = Var::from_tensor(&random(&mut rng, (n_stimuli, n_inputs))).unwrap();
        let ours = layer.forward(&x).unwrap();
        let candles = x.matmul(&w.t().unwrap()).unwrap();
        let candles = candles.broadcast_add(b).unwrap();
        assert!(difference(&ours, &candles) < 2e-5, "output, {size:?}");

        let gradients = ours.sqr().unwrap().mean_all().unwrap().backward().unwrap();
        let expected = candles.sqr().unwrap().mean_all().unwrap();
        let expected = expected.backward().unwrap();
        for (name, var) in [("x", &x), ("w", w), ("b", b)] {
            let (got, expected) = (gradients.get(var).unwrap(), expected.get(var).unwrap());
            assert!(difference(got, expected) < 2e-5, "{name}, {size:?}");
        }
    }
}

#[test]
fn data_get_no_gradient() {
    let mut rng = TorchRng::manual_seed(1);
    let layer = Linear::new(&mut rng, 3, 2).unwrap();
    let x = random(&mut rng, (4, 3));
    let out = layer.forward(&x).unwrap();
    let gradients = out.sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&x).is_none());
    assert!(gradients.get(layer.weight()).is_some());
}

#[test]
fn no_stimuli_give_an_empty_output() {
    let layer = Linear::new(&mut TorchRng::manual_seed(1), 3, 2).unwrap();
    let x = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(layer.forward(&x).unwrap().dims(), [0, 2]);
}

#[test]
fn infinite_response_gives_infinite_gradient() {
    // Of five stimuli, the last is left over after a tile of four.
    let x = [vec![1f32; 4 * 20], vec![f32::INFINITY; 20]].concat();
    let x = Tensor::from_vec(x, (5, 20), &Device::Cpu).unwrap();
    let layer = Linear::new(&mut TorchRng::manual_seed(1), 20, 2).unwrap();
    let out = layer.forward(&x).unwrap();
    let gradients = out.sum_all().unwrap().backward().unwrap();
    let got = to_vec(gradients.get(layer.weight()).unwrap());
    let candle = out.ones_like().unwrap().t().unwrap().matmul(&x).unwrap();
    assert_eq!(got, to_vec(&candle));
    assert_eq!(got, [f32::INFINITY; 40]);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let compute = || {
        let mut rng = TorchRng::manual_seed(1);
        let layer = Linear::new(&mut rng, 2_000, 10).unwrap();
        let out = layer.forward(&random(&mut rng, (37, 2_000))).unwrap();
        let gradients = out.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(layer.weight()).unwrap();
        [to_vec(&out), to_vec(gradient)].concat()
    };
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    assert_eq!(pool(1).install(compute), pool(3).install(compute));
}

/// Moves each parameter a little up and down, and compares the slope of the loss with the gradient.
/// While no hidden unit becomes active or inactive, the loss is a parabola and the slope exact.
fn check_against_finite_differences(net: &DeepNetReLU, r: &Tensor, ori: &Tensor) {
    const STEP: f32 = 1e-3;
    let loss = || loss::mse(&net.forward(r).unwrap(), ori).unwrap();
    let gradients = loss().backward().unwrap();
    for (layer, var) in net.vars().iter().enumerate() {
        let values = to_vec(var);
        let moved = |i: usize, by: f32| {
            let mut values = values.clone();
            values[i] += by;
            let moved = Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap();
            var.set(&moved).unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        let gradient = to_vec(gradients.get(var).unwrap());
        for (i, gradient) in gradient.into_iter().enumerate() {
            let slope = (moved(i, STEP) - moved(i, -STEP)) / f64::from(2.0 * STEP);
            let near = (slope - f64::from(gradient)).abs() < 2e-3 * slope.abs().max(1.0);
            assert!(near, "layer {layer}, parameter {i}: {gradient} is not {slope}");
        }
        moved(0, 0.0);
    }
}

#[test]
fn gradients_are_finite_differences_for_a_batch_and_for_a_vector() {
    let mut rng = TorchRng::manual_seed(1);
    let net = DeepNetReLU::new(&mut rng, 5, 4).unwrap();
    let r = random(&mut rng, (6, 5));
    let ori = random(&mut rng, (6, 1));
    check_against_finite_differences(&net, &r, &ori);
    check_against_finite_differences(&net, &r.i(2).unwrap(), &ori.i(2).unwrap());
}

#[test]
fn dead_unit_gets_no_gradient() {
    let mut rng = TorchRng::manual_seed(1);
    let net = DeepNetReLU::new(&mut rng, 5, 4).unwrap();
    // The second unit is inactive for all responses.
    let bias = Tensor::new(&[0.1f32, -100.0, 0.25, 0.3], &Device::Cpu).unwrap();
    net.in_layer.bias().set(&bias).unwrap();
    let (r, ori) = (random(&mut rng, (6, 5)), random(&mut rng, (6, 1)));
    check_against_finite_differences(&net, &r, &ori);
    let loss = loss::mse(&net.forward(&r).unwrap(), &ori).unwrap();
    let gradients = loss.backward().unwrap();
    let weights = gradients.get(net.in_layer.weight()).unwrap();
    assert_eq!(to_vec(&weights.i(1).unwrap()), [0.0; 5]);
    assert!(to_vec(&weights.i(0).unwrap()).iter().any(|&g| g != 0.0));
    assert_eq!(to_vec(gradients.get(net.in_layer.bias()).unwrap())[1], 0.0);
}
