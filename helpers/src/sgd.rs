use std::cell::Cell;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{Optimizer, Result, Tensor, Var};

/// Gradient descent, `parameter -= learning_rate * gradient`, as `torch.optim.SGD` does it: in one
/// pass over the memory and with one rounding.
///
/// (candle's own optimiser of this name writes two matrices of the parameter's size on the way, and
/// rounds twice.)
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
    vars: Vec<Var>,
    learning_rate: f64,
    momentum: f64,
    /// What is left of the gradients of earlier steps, for each of `vars`.
    velocities: Vec<Option<Tensor>>,
}

impl SGD {
    /// Steps along `velocity = momentum * velocity + gradient` in place of the gradient.
    ///
    /// # Errors
    /// None today.
    pub fn with_momentum(vars: Vec<Var>, learning_rate: f64, momentum: f64) -> Result<Self> {
        let velocities = vec![None; vars.len()];
        Ok(Self {
            momentum,
            velocities,
            ..Self::new(vars, learning_rate)?
        })
    }
}

thread_local! {
    static MADE: Cell<usize> = const { Cell::new(0) };
}

/// How many optimisers this thread has made: the check of exercise 3.2 wants to know.
pub(crate) fn made() -> usize {
    MADE.get()
}

impl Optimizer for SGD {
    type Config = f64;

    fn new(vars: Vec<Var>, learning_rate: f64) -> Result<Self> {
        MADE.set(MADE.get() + 1);
        Ok(Self {
            vars,
            learning_rate,
            momentum: 0.0,
            velocities: Vec::new(),
        })
    }

    /// Moves each parameter that has a gradient.
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        for (i, var) in self.vars.iter().enumerate() {
            let Some(gradient) = gradients.get(var) else {
                continue;
            };
            let mut gradient = gradient.clone();
            if let Some(velocity) = self.velocities.get_mut(i) {
                if let Some(before) = velocity {
                    gradient = ((&*before * self.momentum)? + gradient)?;
                }
                *velocity = Some(gradient.clone());
            }
            if var.dtype() == DType::F32 && var.device().is_cpu() && var.is_contiguous() {
                let step = Step(-self.learning_rate as f32);
                var.inplace_op2(&gradient.contiguous()?, &step)?;
            } else {
                var.set(&var.sub(&(gradient * self.learning_rate)?)?)?;
            }
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

/// Adds so many times the gradient.
struct Step(f32);

impl InplaceOp2 for Step {
    fn name(&self) -> &'static str {
        "gradient descent step"
    }

    fn cpu_fwd(
        &self,
        parameter: &mut CpuStorage,
        at: &Layout,
        gradient: &CpuStorage,
        gradient_at: &Layout,
    ) -> Result<()> {
        const PART: usize = 1 << 15; // numbers that a thread takes at a time
        let CpuStorage::F32(parameter) = parameter else {
            unreachable!("step() has looked");
        };
        let at = at.start_offset()..at.start_offset() + at.shape().elem_count();
        let gradient = &gradient.as_slice::<f32>()?[gradient_at.start_offset()..][..at.len()];
        let parts = parameter[at].par_chunks_mut(PART);
        parts
            .zip(gradient.par_chunks(PART))
            .for_each(|(parameter, gradient)| {
                pulp::Arch::new().dispatch(StepOfSome {
                    parameter,
                    gradient,
                    times: self.0,
                });
            });
        Ok(())
    }
}

struct StepOfSome<'a> {
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    times: f32,
}

impl WithSimd for StepOfSome<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (parameters, rest) = S::as_mut_simd_f32s(self.parameter);
        let (gradients, rest_gradients) = S::as_simd_f32s(self.gradient);
        let times = simd.splat_f32s(self.times);
        for (parameter, &gradient) in parameters.iter_mut().zip(gradients) {
            *parameter = simd.mul_add_f32s(gradient, times, *parameter);
        }
        for (parameter, gradient) in rest.iter_mut().zip(rest_gradients) {
            *parameter = gradient.mul_add(self.times, *parameter);
        }
    }
}
