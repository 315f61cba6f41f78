use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
// cell
// Each needs a type of the standard library, candle or helpers to be found out.
let text = "a b c".split(' ').map(str::to_owned).collect::<Vec<_>>();
let lengths: HashMap<_, _> = text.iter().map(|t| (t.clone(), t.len())).collect();
let ordered = BTreeMap::from([(1, "one"), (2, "two")]);
let shared = Arc::new(Mutex::new(Some(1.5f32)));
let pair = (String::from("x"), Box::new([1u8, 2]));
let range = 0..10usize;
// cell
use helpers::net::DeepNetReLU;
let mut rng = TorchRng::manual_seed(1);
let net = DeepNetReLU::new(&mut rng, 5, 3)?;
let r = Tensor::ones((4, 5), DType::F32, &Device::Cpu)?;
let out = net.forward(&r)?;
let error = ((&out - 1.0)?.sqr()? * 2.0)?;
let mean = error.mean_all()?;
let gradients = mean.backward()?;
let gradient = gradients.get(net.in_layer.weight()).cloned();
let value = mean.to_scalar::<f32>()?;
let rows = r.to_vec2::<f32>()?;
let shape = out.dims().to_vec();
let n = out.dim(0)?;
let first = out.i((0, 0))?;
let figure = plot_train_loss(&[1.0, 0.5])?;
let weights = net.vars();
let rngs = (0..3).map(TorchRng::manual_seed).collect::<Vec<_>>();
let nets = (0..3)
    .map(|seed| DeepNetReLU::new(&mut TorchRng::manual_seed(seed), 5, 3))
    .collect::<Result<Vec<_>>>()?;
let all: Vec<_> = nets.iter().map(|net| net.forward(&r)).collect::<Result<_>>()?;
let best = Some(&all[0]).cloned();
let figures = [("loss", plot_train_loss(&[1.0])?)].into_iter().collect::<HashMap<_, _>>();
let optimizer = SGD::new(net.vars(), 0.1)?;
let failed = Tensor::ones((2, 2), DType::F32, &Device::Cpu)?.matmul(&r).is_err();
// cell
println!("{} {} {} {:?} {} {:?}", text.len(), lengths["a"], ordered[&2], shared, pair.0, range);
println!("{n} {shape:?} {} {} {failed}", rows.len(), weights.len());
println!("{} {} {}", gradient.is_some(), value.is_finite(), first.rank());
println!("{} {} {} {}", rngs.len(), nets.len(), all.len(), figures.contains_key("loss"));
println!("{:?}", best.map(|t| t.dims().to_vec()));
