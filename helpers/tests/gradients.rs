//! The linear layer's forward and backward pass, compared with candle and with finite differences.
//! (`torch.rs` compares with PyTorch.)

use helpers::net::DeepNetReLU;
use helpers::*;

fn random(rng: &mut TorchRng, shape: (usize, usize)) -> Tensor {
    let values = rng.uniform(shape.0 * shape.1, -1.0, 1.0);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The largest difference, relative to the largest number.
fn difference(got: &Tensor, expected: &Tensor) -> Result<f32> {
    let largest = |tensor: &Tensor| item(&tensor.abs()?.max_all()?);
    Ok(largest(&(got - expected)?)? / largest(expected)?.max(1e-6))
}

/// Sizes that leave a rest in each kind of tile, or do not fill one.
#[rustfmt::skip]
const SIZES: [(usize, usize, usize); 11] = [
    (1, 1, 1), (1, 23_589, 10), (2, 3, 1), (3, 5, 2), (4, 16, 3), (5, 17, 6), (7, 1_500, 33),
    (9, 4_100, 11), (13, 2_049, 200), (216, 999, 32), (216, 23_589, 10),
];

#[test]
fn output_and_gradients_are_those_of_candle() -> Result<()> {
    for size in SIZES {
        let (n_stimuli, n_inputs, n_outputs) = size;
        let mut rng = TorchRng::manual_seed(1);
        let layer = Linear::new(&mut rng, n_inputs, n_outputs)?;
        let (w, b) = (layer.weight(), layer.bias());
        let x = Var::from_tensor(&random(&mut rng, (n_stimuli, n_inputs)))?;
        let ours = layer.forward(&x)?;
        let candles = x.matmul(&w.t()?)?.broadcast_add(b)?;
        assert!(difference(&ours, &candles)? < 2e-5, "output, {size:?}");

        let gradients = ours.sqr()?.mean_all()?.backward()?;
        let expected = candles.sqr()?.mean_all()?.backward()?;
        for (name, var) in [("x", &x), ("w", w), ("b", b)] {
            let (got, expected) = (gradients.get(var).unwrap(), expected.get(var).unwrap());
            assert!(difference(got, expected)? < 2e-5, "{name}, {size:?}");
        }
    }
    Ok(())
}

#[test]
fn data_get_no_gradient() -> Result<()> {
    let mut rng = TorchRng::manual_seed(1);
    let layer = Linear::new(&mut rng, 3, 2)?;
    let x = random(&mut rng, (4, 3));
    let gradients = layer.forward(&x)?.sum_all()?.backward()?;
    assert!(gradients.get(&x).is_none());
    assert!(gradients.get(layer.weight()).is_some());
    Ok(())
}

#[test]
fn no_stimuli_give_an_empty_output_and_a_gradient_of_zeros() -> Result<()> {
    let layer = Linear::new(&mut TorchRng::manual_seed(1), 2_000, 2)?;
    let x = Tensor::zeros((0, 2_000), DType::F32, &Device::Cpu)?;
    let out = layer.forward(&x)?;
    assert_eq!(out.dims(), [0, 2]);
    let gradients = out.sum_all()?.backward()?;
    assert_eq!(gradients.get(layer.weight()).unwrap().values()?, [0.0; 4_000]);
    Ok(())
}

#[test]
fn infinite_response_gives_infinite_gradient() -> Result<()> {
    // Of nine stimuli, the last is left over after a tile of eight.
    let x = [vec![1f32; 8 * 20], vec![f32::INFINITY; 20]].concat();
    let x = Tensor::from_vec(x, (9, 20), &Device::Cpu)?;
    let layer = Linear::new(&mut TorchRng::manual_seed(1), 20, 2)?;
    let out = layer.forward(&x)?;
    let gradients = out.sum_all()?.backward()?;
    let got = gradients.get(layer.weight()).unwrap().values()?;
    assert_eq!(got, out.ones_like()?.t()?.matmul(&x)?.values()?);
    assert_eq!(got, [f64::INFINITY; 40]);
    Ok(())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let compute = || -> Result<[Vec<f64>; 2]> {
        let mut rng = TorchRng::manual_seed(1);
        let layer = Linear::new(&mut rng, 2_000, 10)?;
        let out = layer.forward(&random(&mut rng, (37, 2_000)))?;
        let gradients = out.sqr()?.sum_all()?.backward()?;
        Ok([out.values()?, gradients.get(layer.weight()).unwrap().values()?])
    };
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    assert_eq!(pool(1).install(compute)?, pool(3).install(compute)?);
    Ok(())
}

/// Moves each parameter a little up and down, and compares the slope of the loss with the gradient.
/// While no hidden unit becomes active or inactive, the loss is a parabola and the slope exact.
fn check_against_finite_differences(net: &DeepNetReLU, r: &Tensor, ori: &Tensor) -> Result<()> {
    const STEP: f32 = 1e-3;
    let loss = || loss::mse(&net.forward(r)?, ori);
    let gradients = loss()?.backward()?;
    for (layer, var) in net.vars().iter().enumerate() {
        let values = var.flatten_all()?.to_vec1::<f32>()?;
        let moved = |i: usize, by: f32| -> Result<f64> {
            let mut values = values.clone();
            values[i] += by;
            var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu)?)?;
            Ok(f64::from(item(&loss()?)?))
        };
        for (i, gradient) in gradients.get(var).unwrap().values()?.into_iter().enumerate() {
            let slope = (moved(i, STEP)? - moved(i, -STEP)?) / f64::from(2.0 * STEP);
            let near = (slope - gradient).abs() < 2e-3 * slope.abs().max(1.0);
            assert!(near, "layer {layer}, parameter {i}: {gradient} is not {slope}");
        }
        moved(0, 0.0)?;
    }
    Ok(())
}

#[test]
fn gradients_are_finite_differences_for_a_batch_and_for_a_vector() -> Result<()> {
    let mut rng = TorchRng::manual_seed(1);
    let net = DeepNetReLU::new(&mut rng, 5, 4)?;
    let (r, ori) = (random(&mut rng, (6, 5)), random(&mut rng, (6, 1)));
    check_against_finite_differences(&net, &r, &ori)?;
    check_against_finite_differences(&net, &r.i(2)?, &ori.i(2)?)
}

#[test]
fn dead_unit_gets_no_gradient() -> Result<()> {
    let mut rng = TorchRng::manual_seed(1);
    let net = DeepNetReLU::new(&mut rng, 5, 4)?;
    // The second unit is inactive for all responses.
    net.in_layer.bias().set(&Tensor::new(&[0.1f32, -100.0, 0.25, 0.3], &Device::Cpu)?)?;
    let (r, ori) = (random(&mut rng, (6, 5)), random(&mut rng, (6, 1)));
    check_against_finite_differences(&net, &r, &ori)?;
    let gradients = loss::mse(&net.forward(&r)?, &ori)?.backward()?;
    let weights = gradients.get(net.in_layer.weight()).unwrap();
    assert_eq!(weights.i(1)?.values()?, [0.0; 5]);
    assert!(weights.i(0)?.values()?.iter().any(|&g| g != 0.0));
    assert_eq!(gradients.get(net.in_layer.bias()).unwrap().values()?[1], 0.0);
    Ok(())
}
