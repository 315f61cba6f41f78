//! The linear layer's `y = x @ w.t() + b`, with a backward pass of its own. This is most of the work
//! of training.
//!
//! The backward pass of candle's matmul also computes `dL/dx`, which we never need for the input
//! layer: there `x` is the recording, and `dL/dx` is as large. In the forward pass, candle's threads
//! share stimuli and outputs, of which there are few. Here threads share the inputs.
//!
//! | symbol | shape | meaning |
//! |---|---|---|
//! | `x` | `(n_stimuli, n_inputs)` | responses |
//! | `w` | `(n_outputs, n_inputs)` | weights |
//! | `b` | `(n_outputs,)` | biases |
//! | `y` | `(n_stimuli, n_outputs)` | output |
//! | `g` | `(n_stimuli, n_outputs)` | gradient of the loss with respect to `y`, `dL/dy` |
//!
//! `dL/dw = g.t() @ x`, `dL/db = g.sum(0)`, `dL/dx = g @ w`.
//!
//! The order of each sum depends on the shapes and the processor alone, so the number of threads
//! does not change the result.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use crate::kernel::check_interrupt;

/// Inputs whose products with their weights one thread adds up at a time.
const PART: usize = 1024;

/// `x @ w.t() + b`: by this module for f32 on the CPU, else by candle.
pub fn affine(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    check_interrupt();
    let is_f32_on_cpu = |t: &&Tensor| t.dtype() == DType::F32 && t.device().is_cpu();
    if [x, w, b].iter().all(is_f32_on_cpu) {
        x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, Affine)
    } else {
        x.matmul(&w.t()?)?.broadcast_add(b)
    }
}

struct Affine;

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n_stimuli, n_inputs) = x_layout.shape().dims2()?;
        let n_outputs = w_layout.dims()[0];
        let (x, w) = (as_f32(x, x_layout)?, as_f32(w, w_layout)?);
        let b = as_f32(b, b_layout)?;
        let starts: Vec<usize> = (0..n_inputs).step_by(PART).collect();
        let sums_of_part = |&start: &usize| {
            let mut sums = vec![0.0; n_stimuli * n_outputs];
            // SAFETY: x, w and sums have as many numbers as their shapes say.
            unsafe {
                #[rustfmt::skip] // one line each matrix
                gemm(
                    n_stimuli, n_outputs, PART.min(n_inputs - start),
                    sums.as_mut_ptr(), 1, n_outputs as isize, false, // only written
                    x.as_ptr().wrapping_add(start), 1, n_inputs as isize,
                    w.as_ptr().wrapping_add(start), n_inputs as isize, 1, // transposed
                    0.0, 1.0, false, false, false, Parallelism::None,
                );
            }
            sums
        };
        let parts: Vec<Vec<f32>> = starts.par_iter().map(sums_of_part).collect();
        let mut y = vec![0.0; n_stimuli * n_outputs];
        for sums in parts {
            y.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum);
        }
        for (i, y) in y.iter_mut().enumerate() {
            *y += b[i % n_outputs];
        }
        Ok((CpuStorage::F32(y), (n_stimuli, n_outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dl_dx = || g.matmul(w);
        let dl_dw = || g.t()?.matmul(x);
        let dl_db = || g.sum(0);
        Ok((
            x.track_op().then(dl_dx).transpose()?,
            w.track_op().then(dl_dw).transpose()?,
            b.track_op().then(dl_db).transpose()?,
        ))
    }
}

/// The numbers of a contiguous f32 tensor.
pub fn as_f32<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice()?[start..end]),
        None => bail!("expected a contiguous tensor, got {layout:?}: call contiguous() before"),
    }
}
