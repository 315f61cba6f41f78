//! Networks and training, apart from PyTorch's numbers (`torch.rs`).

use helpers::net::DeepNetReLU;
use helpers::train::train;
use helpers::*;

fn small_net() -> DeepNetReLU {
    DeepNetReLU::new(&mut TorchRng::manual_seed(1), 7, 3).unwrap()
}

fn data() -> (Tensor, Tensor) {
    let mut rng = TorchRng::manual_seed(2);
    let resp = Tensor::from_vec(rng.rand(5 * 7), (5, 7), &Device::Cpu).unwrap();
    let stimuli = Tensor::from_vec(rng.rand(5), (5, 1), &Device::Cpu).unwrap();
    (resp, (stimuli * 360.0).unwrap())
}

#[test]
fn vector_gives_the_output_of_its_row_in_a_matrix() -> Result<()> {
    let (resp, _) = data();
    let net = small_net();
    let all = net.forward(&resp)?;
    assert_eq!(all.dims(), [5, 1]);
    let one = net.forward(&resp.i(3)?)?;
    assert_eq!(one.dims(), [1]);
    assert!((item(&one)? - item(&all.i(3)?)?).abs() < 1e-6);
    Ok(())
}

#[test]
fn wrong_shape_is_an_error_of_one_line() {
    let wrong = Tensor::zeros((5, 6), DType::F32, &Device::Cpu).unwrap();
    let error = small_net().forward(&wrong).unwrap_err().to_string();
    let message = error.lines().next().unwrap(); // without the backtrace
    assert!(message.contains("(n_stimuli, 7), got [5, 6]"), "{error}");
    assert!(message.ends_with("made for 7 inputs"), "{error}");
    let error = Linear::new(&mut TorchRng::manual_seed(1), 0, 3).unwrap_err().to_string();
    assert!(error.contains("n_inputs = 0"), "{error}");
}

#[test]
fn first_loss_is_that_of_the_untrained_network() -> Result<()> {
    let (resp, stimuli) = data();
    for n_epochs in [0, 1, 3, 4, 5, 7, 50] {
        let net = small_net();
        let untrained = item(&loss::mse(&net.forward(&resp)?, &stimuli)?)?;
        let losses = train(&net, loss::mse, &resp, &stimuli, n_epochs, 1e-4)?;
        assert_eq!(losses.len(), n_epochs);
        assert!(losses.first().is_none_or(|first| *first == untrained), "{losses:?}");
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
    }
    Ok(())
}

#[test]
fn test_set_does_not_change_training() -> Result<()> {
    let data = |seed: u64, n: usize| -> Result<(Tensor, Tensor)> {
        let values = TorchRng::manual_seed(seed).uniform(n * 4, -1.0, 1.0);
        let x = Tensor::from_vec(values, (n, 4), &Device::Cpu)?;
        let y = x.sum_keepdim(1)?;
        Ok((x, y))
    };
    let ((x, y), (x_test, y_test)) = (data(1, 9)?, data(2, 5)?);
    let net = || Layers::new(&mut TorchRng::manual_seed(1), &[4, 3, 1]).unwrap();
    let (alone, both) = (net(), net());
    let first_test = item(&loss::mse(&both.forward(&x_test)?, &y_test)?)?;
    let train_loss = train(&alone, loss::mse, &x, &y, 20, 0.05)?;
    let test = (&x_test, &y_test);
    let (same, test_loss) = train_and_test(&both, loss::mse, (&x, &y), test, 20, 0.05)?;
    assert_eq!(train_loss, same);
    assert_eq!(test_loss.len(), 20);
    // Before the first update, as the loss on the training set.
    assert_eq!(test_loss[0], first_test);
    assert!(test_loss[19] < test_loss[0]);
    Ok(())
}

#[test]
fn layers_are_rectified_except_the_last() -> Result<()> {
    let rng = || TorchRng::manual_seed(6);
    let layers = Layers::new(&mut rng(), &[4, 5, 1])?;
    let net = DeepNetReLU::new(&mut rng(), 4, 5)?;
    let r = TorchRng::manual_seed(4).uniform(6 * 4, -3.0, 3.0);
    let r = Tensor::from_vec(r, (6, 4), &Device::Cpu)?;
    let expected = net.forward(&r)?.values()?;
    assert!(expected.iter().any(|y| *y < 0.0) && expected.iter().any(|y| *y > 0.0));
    assert_eq!(layers.forward(&r)?.values()?, expected);
    let error = Layers::new(&mut rng(), &[4]).unwrap_err().to_string();
    assert!(error.contains("expected the sizes of input and output at least"), "{error}");
    Ok(())
}

fn bits(net: &dyn Network) -> Vec<u32> {
    let values = |var: &Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    net.vars().iter().flat_map(values).map(f32::to_bits).collect()
}

#[test]
fn weights_are_loaded_as_they_were_saved() {
    let layers = |seed, n| Layers::new(&mut TorchRng::manual_seed(seed), &[7, n, 1]).unwrap();
    let other_net = DeepNetReLU::new(&mut TorchRng::manual_seed(2), 7, 3).unwrap();
    let unusual = Tensor::new(&[f32::NAN, -0.0, 1e-45], &Device::Cpu).unwrap();
    let (net, path) = (small_net(), tempfile::NamedTempFile::new().unwrap());
    net.in_layer.bias().set(&unusual).unwrap();
    for (saved, other) in
        [(&net as &dyn Network, &other_net as &dyn Network), (&layers(1, 4), &layers(2, 4))]
    {
        save_weights(saved, &path).unwrap();
        load_weights(other, &path).unwrap();
        assert_eq!(bits(other), bits(saved));
    }
    let error = load_weights(&net, &path).unwrap_err().to_string();
    assert!(error.contains(r#"expected the parameters {"in_layer.bias": ([3], F32), "#), "{error}");
    let error = load_weights(&layers(1, 5), &path).unwrap_err().to_string();
    assert!(error.contains(r#"got {"0.bias": ([4], F32), "#), "{error}");
    std::fs::write(&path, [255; 99]).unwrap();
    for path in [path.path(), std::path::Path::new("/dev/zero"), std::path::Path::new("no\nfile")] {
        let error = load_weights(&net, path).unwrap_err().to_string();
        let message = error.lines().next().unwrap();
        assert!(message.starts_with("load_weights: cannot read"), "{message}");
        assert!(message.ends_with("give the path of a file of save_weights"), "{message}");
    }
    let error = save_weights(&net, "no/such/folder/net.safetensors").unwrap_err().to_string();
    assert!(error.starts_with("save_weights: cannot write"), "{error}");
}

#[test]
fn clone_of_weights_changes_in_training_and_a_copy_does_not() -> Result<()> {
    let (resp, stimuli) = data();
    let net = small_net();
    let weights = net.in_layer.weight().as_tensor();
    let (clone, copy, before) = (weights.clone(), weights.copy()?, weights.values()?);
    train(&net, loss::mse, &resp, &stimuli, 1, 1e-4)?;
    assert_ne!(clone.values()?, before);
    assert_eq!(copy.values()?, before);
    Ok(())
}
