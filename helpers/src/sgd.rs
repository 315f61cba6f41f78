//! Gradient descent with `torch.optim.SGD`'s numbers.

use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use candle_nn::Optimizer;
use pulp::Arch;
use rayon::prelude::*;

use crate::affine::as_f32;
use crate::kernel::check_interrupt;

/// Gradient descent, `parameter -= learning_rate * gradient`, as `torch.optim.SGD`: in one pass over
/// the memory and with one rounding. (candle's own SGD makes two temporary tensors of the
/// parameter's size and rounds twice.)
///
/// ```
/// use helpers::*;
/// # fn main() -> Result<()> {
/// let w = Var::new(&[1f32, 2.], &Device::Cpu)?;
/// let mut optimizer = SGD::new(vec![w.clone()], 0.1)?;
/// optimizer.step(&w.sqr()?.sum_all()?.backward()?)?; // the gradient is 2 w
/// assert_eq!(w.to_vec1::<f32>()?, [0.8, 1.6]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SGD {
    /// Each parameter with its velocity.
    vars: Vec<(Var, Option<Tensor>)>,
    learning_rate: f64,
    momentum: f64,
}

impl SGD {
    /// SGD with momentum: each step moves along `velocity = momentum * velocity + gradient`.
    pub fn with_momentum(vars: Vec<Var>, learning_rate: f64, momentum: f64) -> Result<Self> {
        let vars = vars.into_iter().map(|var| (var, None)).collect();
        Ok(Self { vars, learning_rate, momentum })
    }
}

impl Optimizer for SGD {
    type Config = f64;

    fn new(vars: Vec<Var>, learning_rate: f64) -> Result<Self> {
        Self::with_momentum(vars, learning_rate, 0.0)
    }

    /// Updates each parameter that has a gradient.
    ///
    /// # Errors
    /// If no parameter has a gradient.
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        check_interrupt();
        if self.vars.iter().all(|(var, _)| gradients.get(var).is_none()) {
            bail!(
                "SGD: expected a loss that depends on the parameters, got one without a gradient for \
                 any of them: compute it with tensors all the way, without to_vec2(), detach() or \
                 softmax_last_dim()"
            )
        }
        for (var, velocity) in &mut self.vars {
            let Some(gradient) = gradients.get(var) else {
                continue;
            };
            let mut direction = gradient.clone();
            if self.momentum != 0.0 {
                if let Some(velocity) = velocity {
                    direction = ((&*velocity * self.momentum)? + direction)?;
                }
                *velocity = Some(direction.clone());
            }
            let update = SgdUpdate(-self.learning_rate as f32);
            var.inplace_op2(&direction.contiguous()?, &update)?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }
}

/// `parameter += scale * gradient`.
struct SgdUpdate(f32);

impl InplaceOp2 for SgdUpdate {
    fn name(&self) -> &'static str {
        "SGD update"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        parameter_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        const CHUNK: usize = 1 << 15;
        let CpuStorage::F32(parameter) = parameter else {
            bail!("SGD: expected f32 parameters, got {:?}: convert them", parameter.dtype())
        };
        if !parameter_layout.is_contiguous() {
            bail!("SGD: expected contiguous parameters: make them by Var::from_tensor")
        }
        let gradient = as_f32(gradient, gradient_layout)?;
        parameter[parameter_layout.start_offset()..][..gradient.len()]
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .for_each(|(parameter, gradient)| {
                // Compiled for the processor at hand, with its instruction for mul_add. That needs a
                // closure so small that the compiler inlines it.
                Arch::new().dispatch(|| {
                    for (p, g) in parameter.iter_mut().zip(gradient) {
                        *p = g.mul_add(self.0, *p);
                    }
                });
            });
        Ok(())
    }
}
