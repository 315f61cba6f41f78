//! Decoders that are not networks, compared with SciPy, NumPy and PyTorch, and on data whose answer
//! is known.

use helpers::*;

fn column(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap()
}

#[track_caller]
fn assert_near(got: &Tensor, expected: &[f32], tolerance: f64) {
    assert_eq!(got.elem_count(), expected.len());
    for (i, (got, &expected)) in got.values().unwrap().iter().zip(expected).enumerate() {
        let near = (got - f64::from(expected)).abs() <= tolerance;
        assert!(near, "position {i}: {got} is not {expected}");
    }
}

/// Neurons tuned to all orientations, with bumps of 20 degrees; the stimuli are not sorted.
fn tuned(n_stimuli: usize) -> (Tensor, Tensor) {
    let stimuli: Vec<f32> =
        (0..n_stimuli).map(|i| ((i * 7) % n_stimuli) as f32 * 360.0 / n_stimuli as f32).collect();
    let response = |ori: f32, neuron: usize| {
        let away = (ori - 4.0 * neuron as f32 + 180.0).rem_euclid(360.0) - 180.0;
        (-0.5 * (away / 20.0).powi(2)).exp()
    };
    let resp: Vec<f32> =
        stimuli.iter().flat_map(|&ori| (0..90).map(move |n| response(ori, n))).collect();
    (Tensor::from_vec(resp, (n_stimuli, 90), &Device::Cpu).unwrap(), column(&stimuli))
}

#[test]
fn circular_error_goes_the_shorter_way_round() {
    let (decoded, stimuli) = ([359.0, 1.0, 90.0, -10.0], [1.0, 359.0, 100.0, 350.0]);
    let error = circular_error(&column(&decoded), &column(&stimuli)).unwrap();
    assert!((error - 14.0 / 4.0).abs() < 1e-6, "{error}");
    let far = circular_error(&column(&[0.0, 720.0]), &column(&[180.0, 90.0])).unwrap();
    assert!((far - 135.0).abs() < 1e-6, "{far}");
}

#[test]
fn argsort_puts_nan_last() {
    let nan = f32::NAN;
    let sorted = argsort(&Tensor::new(&[nan, 2.0, -1.0, -nan, 0.5], &Device::Cpu).unwrap());
    assert_eq!(sorted.unwrap(), [2, 4, 1, 0, 3]);
}

#[test]
fn classes_are_equal_parts_of_the_circle() {
    let classes = stimulus_class(&column(&[0.0, 17.9, 18.0, 359.9]), 20).unwrap();
    assert_eq!(classes.to_vec1::<u32>().unwrap(), [0, 0, 1, 19]);
    let error = stimulus_class(&column(&[360.0]), 20).unwrap_err().to_string();
    assert!(error.contains("from 0 to below 360 degrees"), "{error}");
    let classes = stimulus_class(&column(&[72.0]), 35).unwrap();
    assert_eq!(classes.to_vec1::<u32>().unwrap(), [7]); // where a class begins
}

#[test]
fn sigma_is_from_0_to_the_number_of_stimuli() {
    let (resp, stimuli) = tuned(20);
    for sigma in [-1.0, 21.0, f64::NAN] {
        let error = preferred_orientations(&resp, &stimuli, sigma).unwrap_err().to_string();
        assert!(error.contains("expected a sigma from 0 to"), "{error}");
    }
    let unchanged = smooth(&resp, 0.0).unwrap();
    assert_eq!(unchanged.values().unwrap(), resp.values().unwrap());
}

#[test]
#[rustfmt::skip] // one line each sigma
fn smoothing_is_scipys() {
    let resp = column(&[3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0]);
    // scipy.ndimage.gaussian_filter1d(resp, sigma)
    for (sigma, expected) in [
        (1.5, [2.437401, 2.5129, 2.830063, 3.531226, 4.434809, 5.011061, 5.023985, 4.742741, 4.384972, 4.090842]),
        (5.0, [3.543575, 3.580701, 3.650555, 3.744723, 3.85278, 3.963213, 4.065054, 4.149497, 4.20943, 4.240473]),
    ] {
        assert_near(&smooth(&resp, sigma).unwrap(), &expected, 2e-6);
    }
}

#[test]
fn preferred_orientations_are_the_centers_of_the_bumps() {
    let (resp, stimuli) = tuned(180);
    let preferred = preferred_orientations(&resp, &stimuli, 2.0).unwrap().values().unwrap();
    for (neuron, preferred) in preferred.iter().enumerate().skip(5).take(80) {
        assert!((preferred - 4.0 * neuron as f64).abs() <= 2.0, "neuron {neuron}: {preferred}");
    }
}

#[test]
fn linear_regression_is_numpys() {
    let resp = Tensor::new(&[[1f32, 2., 0., 1.], [0., 1., 3., 1.], [2., 0., 1., 5.]], &Device::Cpu)
        .unwrap();
    let stimuli = column(&[10.0, 20.0, 60.0]);
    // numpy.linalg.lstsq, and numpy.linalg.solve with 0.5 on the diagonal, both on centered data
    for (ridge, weights, bias) in [
        (0.0, [2.168_141_6, -4.601_77, 2.522_123_9, 9.026_549], 8.008_849_56),
        (0.5, [2.150_537_7, -4.359_726_4, 2.228_739, 8.680_352], 8.983_382_21),
    ] {
        let fitted = LinearRegression::fit(&resp, &stimuli, ridge).unwrap();
        assert_near(&fitted.weights, &weights, 1e-5);
        assert!((fitted.bias - bias).abs() < 1e-6, "{}", fitted.bias);
    }
    let exact = LinearRegression::fit(&resp, &stimuli, 0.0).unwrap();
    assert_near(&exact.decode(&resp).unwrap(), &[10.0, 20.0, 60.0], 1e-4);
    for ridge in [-1.0, f64::NAN] {
        let error = LinearRegression::fit(&resp, &stimuli, ridge).unwrap_err();
        assert!(error.to_string().contains("a ridge of 0 or more, got"), "{error}");
    }
    let same = Tensor::ones((3, 4), DType::F32, &Device::Cpu).unwrap();
    let error = LinearRegression::fit(&same, &stimuli, 0.0).unwrap_err().to_string();
    assert!(error.contains("fit with a ridge above 0"), "{error}");
}

#[test]
fn decoders_without_a_network_decode_tuned_neurons() {
    let (resp, stimuli) = tuned(180);
    let (test, true_ori) = tuned(99);
    let vector = PopulationVector::fit(&resp, &stimuli).unwrap().decode(&test);
    let filter = MatchedFilter::fit(&resp, &stimuli).unwrap().decode(&test);
    for (decoder, decoded) in [("population vector", vector), ("matched filter", filter)] {
        let error = circular_error(&decoded.unwrap(), &true_ori).unwrap();
        assert!(error < 4.0, "{decoder}: {error}");
    }
}

#[test]
fn all_decoders_are_compared_on_the_test_set() {
    let (resp, stimuli) = tuned(60);
    // Noise, because linear regression needs responses that differ from stimulus to stimulus.
    let noise = TorchRng::manual_seed(1).uniform(60 * 90, -0.1, 0.1);
    let resp = (resp + Tensor::from_vec(noise, (60, 90), &Device::Cpu)).unwrap();
    let (test, true_ori) = tuned(99);
    let table = compare_decoders(&resp, &stimuli, &test, &true_ori).unwrap().to_string();
    assert_eq!(table.lines().count(), 10, "{table}");
    // The last columns of a row: circular error, seconds and number of parameters.
    let columns = |decoder: &str| -> Vec<f64> {
        let row = table.lines().find(|row| row.starts_with(decoder)).unwrap();
        let last = row.split_whitespace().rev().take(3).collect::<Vec<_>>();
        last.iter().rev().map(|number| number.parse().unwrap()).collect()
    };
    assert_eq!(columns("linear regression, ridge 100")[2], 91.0, "90 weights and a bias");
    assert_eq!(columns("linear regression, sine and cosine")[2], 182.0, "two regressions");
    assert!(columns("linear regression, sine and cosine")[0] < 4.0, "{table}");
    assert_eq!(columns("network, M = 10 ")[2], 921.0);
}

#[test]
fn batches_are_those_of_the_data_loader() {
    // DataLoader(range(7), batch_size=3, shuffle=True, generator=...manual_seed(3)), two epochs
    let mut rng = TorchRng::manual_seed(3);
    assert_eq!(rng.batches(7, 3), [vec![3, 4, 2], vec![0, 1, 6], vec![5]]);
    assert_eq!(rng.batches(7, 3), [vec![6, 1, 2], vec![3, 4, 0], vec![5]]);
}

#[test]
fn momentum_is_pytorchs() {
    // torch.optim.SGD([w], lr=0.1, momentum=0.9), four steps on the sum of squares
    let w = Var::new(&[1f32, 2.0], &Device::Cpu).unwrap();
    let mut optimizer = SGD::with_momentum(vec![w.clone()], 0.1, 0.9).unwrap();
    for _ in 0..4 {
        let loss = w.sqr().unwrap().sum_all().unwrap();
        optimizer.step(&loss.backward().unwrap()).unwrap();
    }
    assert_near(&w, &[-0.3086, -0.6172], 1e-6);
}
