//! Networks whose initial weights are PyTorch's.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use candle_core::{Device, Error, Module, Result, Tensor, Var, bail, safetensors};

use crate::affine::affine;
use crate::recording::open_file;
use crate::rng::TorchRng;
use crate::session::first_line;

/// A network whose parameters can be trained: candle's [`Module`] has `forward`, this adds the
/// parameters (PyTorch: `net.parameters()`).
pub trait Network: Module {
    /// The parameters. A clone of a [`Var`] is the same variable, not a copy.
    fn vars(&self) -> Vec<Var>;

    /// The names of the parameters in the file of [`save_weights`]: 0, 1, .. unless a network has
    /// its own.
    fn names(&self) -> Vec<String> {
        (0..self.vars().len()).map(|i| i.to_string()).collect()
    }
}

/// A linear layer, `y = W x + b`, as `torch.nn.Linear`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Var, // (n_outputs, n_inputs)
    bias: Var,   // (n_outputs,)
}

impl Linear {
    /// Draws weights, row by row, and then biases from the uniform distribution between
    /// `-1/sqrt(n_inputs)` and `1/sqrt(n_inputs)`, as `nn.Linear(n_inputs, n_outputs)` does.
    ///
    /// # Errors
    /// If a size is 0.
    pub fn new(rng: &mut TorchRng, n_inputs: usize, n_outputs: usize) -> Result<Self> {
        if n_inputs == 0 || n_outputs == 0 {
            bail!(
                "Linear::new: expected at least 1 input and 1 output, \
                 got n_inputs = {n_inputs}, n_outputs = {n_outputs}: give both sizes"
            )
        }
        let bound = (1.0 / (n_inputs as f64).sqrt()) as f32;
        let weight = rng.uniform(n_outputs * n_inputs, -bound, bound);
        let bias = rng.uniform(n_outputs, -bound, bound);
        Ok(Self {
            weight: Var::from_vec(weight, (n_outputs, n_inputs), &Device::Cpu)?,
            bias: Var::from_vec(bias, n_outputs, &Device::Cpu)?,
        })
    }

    /// The weights, `(n_outputs, n_inputs)`. A clone is the same memory, so it changes in training:
    /// `weight().copy()?` keeps the weights as they are now.
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// The biases, `(n_outputs,)`.
    pub fn bias(&self) -> &Var {
        &self.bias
    }

    /// Weight and bias.
    pub fn vars(&self) -> Vec<Var> {
        vec![self.weight.clone(), self.bias.clone()]
    }
}

impl Module for Linear {
    /// `x` is `(n_inputs,)` or `(n_stimuli, n_inputs)`; the result `(n_outputs,)` or
    /// `(n_stimuli, n_outputs)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, n_inputs) = self.weight.dims2()?;
        let (expected, got) = (self.weight.dtype(), x.dtype());
        if got != expected {
            bail!(
                "Linear::forward: expected an input of type {expected:?}, got {got:?}: convert the \
                 input with to_dtype(DType::F32)?"
            )
        }
        match x.dims() {
            &[n] if n == n_inputs => self.forward(&x.unsqueeze(0)?)?.squeeze(0),
            &[_, n] if n == n_inputs => affine(x, &self.weight, &self.bias),
            dims => bail!(
                "Linear::forward: expected an input of shape ({n_inputs},) or \
                 (n_stimuli, {n_inputs}), got {dims:?}: check where the input comes from, the \
                 layer was made for {n_inputs} inputs"
            ),
        }
    }
}

/// A network with one hidden layer of rectified linear units.
///
/// `h = relu(W_in r + b_in)`, `y = W_out h + b_out`.
///
/// ```
/// use helpers::net::DeepNetReLU;
/// use helpers::*;
/// # fn main() -> Result<()> {
/// let mut rng = TorchRng::manual_seed(1);
/// let net = DeepNetReLU::new(&mut rng, 7, 3)?; // 7 neurons, 3 hidden units
/// let r = Tensor::ones((5, 7), DType::F32, &Device::Cpu)?; // (n_stimuli, n_neurons)
/// assert_eq!(net.forward(&r)?.dims(), [5, 1]); // (n_stimuli, 1)
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DeepNetReLU {
    /// Neural activity to hidden units: weight `(n_hidden, n_inputs)`.
    pub in_layer: Linear,
    /// Hidden units to output: weight `(1, n_hidden)`.
    pub out_layer: Linear,
}

impl DeepNetReLU {
    /// Draws both layers, the input layer first.
    ///
    /// # Errors
    /// If a size is 0.
    pub fn new(rng: &mut TorchRng, n_inputs: usize, n_hidden: usize) -> Result<Self> {
        Ok(Self {
            in_layer: Linear::new(rng, n_inputs, n_hidden)?,
            out_layer: Linear::new(rng, n_hidden, 1)?,
        })
    }

    /// A network of these parameters: weight and bias of the input layer, then of the output layer.
    pub(crate) fn from_vars(vars: Vec<Var>) -> Result<Self> {
        let [w_in, b_in, w_out, b_out] = vars.try_into().map_err(|vars: Vec<Var>| {
            Error::Msg(format!("expected vars() of two layers, 4 in all, got {}", vars.len()))
        })?;
        let in_layer = Linear { weight: w_in, bias: b_in };
        Ok(Self { in_layer, out_layer: Linear { weight: w_out, bias: b_out } })
    }
}

impl Module for DeepNetReLU {
    /// Decodes orientations in degrees from responses `r`, `(n_neurons,)` or
    /// `(n_stimuli, n_neurons)`; the result is `(1,)` or `(n_stimuli, 1)`.
    fn forward(&self, r: &Tensor) -> Result<Tensor> {
        let h = self.in_layer.forward(r)?.relu()?; // (n_stimuli, n_hidden)
        self.out_layer.forward(&h) // (n_stimuli, 1)
    }
}

impl Network for DeepNetReLU {
    /// Weight and bias of the input layer, then of the output layer.
    fn vars(&self) -> Vec<Var> {
        [self.in_layer.vars(), self.out_layer.vars()].concat()
    }

    /// The names that PyTorch gives to the parameters of the original tutorial's network.
    fn names(&self) -> Vec<String> {
        let names = ["in_layer.weight", "in_layer.bias", "out_layer.weight", "out_layer.bias"];
        names.map(str::to_owned).to_vec()
    }
}

/// Any number of linear layers, with rectified linear units between them.
///
/// ```
/// use helpers::*;
/// # fn main() -> Result<()> {
/// let net = Layers::new(&mut TorchRng::manual_seed(1), &[7, 4, 3, 1])?; // two hidden layers
/// let r = Tensor::ones((5, 7), DType::F32, &Device::Cpu)?; // (n_stimuli, n_neurons)
/// assert_eq!(net.forward(&r)?.dims(), [5, 1]); // (n_stimuli, n_outputs)
/// assert_eq!(n_parameters(&net), 7 * 4 + 4 + 4 * 3 + 3 + 3 + 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Layers {
    /// The layers, from the input on: weights `(sizes[i + 1], sizes[i])`.
    pub layers: Vec<Linear>,
}

impl Layers {
    /// Draws the layers. The sizes are those of the input, of each hidden layer, and of the output.
    ///
    /// # Errors
    /// If there are fewer than two sizes, or one is 0.
    pub fn new(rng: &mut TorchRng, sizes: &[usize]) -> Result<Self> {
        if sizes.len() < 2 {
            bail!(
                "Layers::new: expected the sizes of input and output at least, got {sizes:?}: \
                 name the size of the input, of each hidden layer, and of the output"
            )
        }
        let layers = sizes.windows(2).map(|ends| Linear::new(rng, ends[0], ends[1]));
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }
}

impl Module for Layers {
    fn forward(&self, r: &Tensor) -> Result<Tensor> {
        let mut h = r.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            h = layer.forward(&if i > 0 { h.relu()? } else { h })?;
        }
        Ok(h)
    }
}

impl Network for Layers {
    fn vars(&self) -> Vec<Var> {
        self.layers.iter().flat_map(Linear::vars).collect()
    }

    /// The names in PyTorch's `nn.Sequential(nn.Linear(..), nn.ReLU(), nn.Linear(..), ..)`.
    fn names(&self) -> Vec<String> {
        let names = |i: usize| [format!("{}.weight", 2 * i), format!("{}.bias", 2 * i)];
        (0..self.layers.len()).flat_map(names).collect()
    }
}

/// The number of parameters: all weights and biases.
pub fn n_parameters(net: &dyn Network) -> usize {
    net.vars().iter().map(|var| var.elem_count()).sum()
}

/// Saves all weights and biases to a `.safetensors` file. In PyTorch,
/// `net.load_state_dict(safetensors.torch.load_file("net.safetensors"))` reads them.
///
/// ```
/// use helpers::*;
/// # fn main() -> Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("net.safetensors");
/// let net = Layers::new(&mut TorchRng::manual_seed(1), &[7, 4, 1])?;
/// save_weights(&net, &path)?;
/// let other = Layers::new(&mut TorchRng::manual_seed(2), &[7, 4, 1])?;
/// load_weights(&other, &path)?;
/// assert_eq!(other.layers[0].bias().to_vec1::<f32>()?, net.layers[0].bias().to_vec1::<f32>()?);
/// # Ok(()) }
/// ```
///
/// # Errors
/// If the file cannot be written.
pub fn save_weights(net: &dyn Network, path: impl AsRef<Path>) -> Result<()> {
    save(net, path.as_ref())
}

fn save(net: &dyn Network, path: &Path) -> Result<()> {
    let vars = net.vars().into_iter().map(Var::into_inner);
    let tensors: HashMap<String, Tensor> = net.names().into_iter().zip(vars).collect();
    match safetensors::save(&tensors, path) {
        Ok(()) => Ok(()),
        Err(err) => bail!(
            "save_weights: cannot write {path:?} ({}): make its folder writable",
            first_line(err)
        ),
    }
}

/// Sets all weights and biases to those of a file that [`save_weights`] or PyTorch's
/// `safetensors.torch.save_file(net.state_dict(), path)` wrote.
///
/// # Errors
/// If the file cannot be read, or has parameters of other names, shapes or types.
pub fn load_weights(net: &dyn Network, path: impl AsRef<Path>) -> Result<()> {
    load(net, path.as_ref())
}

fn load(net: &dyn Network, path: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    let read = open_file(path).and_then(|mut file| file.read_to_end(&mut bytes));
    let read = read.map_err(Error::from);
    let tensors = match read.and_then(|_| safetensors::load_buffer(&bytes, &Device::Cpu)) {
        Ok(tensors) => tensors,
        Err(err) => bail!(
            "load_weights: cannot read {path:?} ({}): give the path of a file of save_weights",
            first_line(err)
        ),
    };
    let vars: HashMap<String, Var> = net.names().into_iter().zip(net.vars()).collect();
    let kind = |tensor: &Tensor| (tensor.dims().to_vec(), tensor.dtype());
    let expected: BTreeMap<_, _> = vars.iter().map(|(name, var)| (name, kind(var))).collect();
    let got: BTreeMap<_, _> = tensors.iter().map(|(name, tensor)| (name, kind(tensor))).collect();
    if expected != got {
        bail!(
            "load_weights: expected the parameters {expected:?} in {path:?}, got {got:?}: make the \
             network with the sizes of the network that was saved"
        )
    }
    vars.iter().try_for_each(|(name, var)| var.set(&tensors[name]))
}
