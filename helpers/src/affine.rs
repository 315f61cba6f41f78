//! The linear layer's `y = x @ w.t() + b`, with a backward pass of its own. This is most of the work
//! of training.
//!
//! The backward pass of candle's matmul also computes `dL/dx`, which we never need for the input
//! layer: there `x` is the recording, and `dL/dx` is as large. And candle's threads share stimuli and
//! outputs, of which there are few. Here threads share the inputs.
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

use std::array;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use gemm::{Parallelism, gemm};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::kernel::check_interrupt;

/// Inputs that a thread takes at a time.
const PART: usize = 1024;
/// With more outputs than this, gemm is as fast as [`WeightGradient`], or faster.
const FEW_OUTPUTS: usize = 32;

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
        let dl_dw = || match g.dim(1)? {
            ..=FEW_OUTPUTS => g.contiguous()?.apply_op2_no_bwd(x, &WeightGradient),
            _ => g.t()?.matmul(x),
        };
        let dl_db = || g.sum(0);
        Ok((
            x.track_op().then(dl_dx).transpose()?,
            w.track_op().then(dl_dw).transpose()?,
            b.track_op().then(dl_db).transpose()?,
        ))
    }
}

/// `dL/dw = g.t() @ x` for few outputs: each thread adds up its part of the columns of `dL/dw`.
struct WeightGradient;

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "weight gradient"
    }

    fn cpu_fwd(
        &self,
        g: &CpuStorage,
        g_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let n_inputs = x_layout.dims()[1];
        let n_outputs = g_layout.dims()[1];
        let (g, x) = (as_f32(g, g_layout)?, as_f32(x, x_layout)?);
        let mut dl_dw = vec![0.0; n_outputs * n_inputs];
        let mut parts: Vec<_> = (0..n_inputs).step_by(PART).map(|start| (start, vec![])).collect();
        for row in dl_dw.chunks_mut(n_inputs) {
            for ((_, rows), columns) in parts.iter_mut().zip(row.chunks_mut(PART)) {
                rows.push(columns);
            }
        }
        parts.into_par_iter().for_each(|(start, dl_dw)| {
            Arch::new().dispatch(AddOuterProducts { g, x, n_inputs, start, dl_dw });
        });
        Ok((CpuStorage::F32(dl_dw), (n_outputs, n_inputs).into()))
    }
}

/// Adds the outer products of `g` and `x` of all stimuli to a part of the columns of `dL/dw`.
struct AddOuterProducts<'a> {
    g: &'a [f32],
    x: &'a [f32],
    n_inputs: usize,
    /// The part's first column.
    start: usize,
    /// The part's columns, one slice per output.
    dl_dw: Vec<&'a mut [f32]>,
}

impl WithSimd for AddOuterProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        const TILE: usize = 8; // stimuli whose responses are in registers at the same time
        let n_stimuli = self.g.len() / self.dl_dw.len();
        let n_in_tiles = n_stimuli - n_stimuli % TILE;
        for first in (0..n_in_tiles).step_by(TILE) {
            self.add::<S, TILE>(simd, first);
        }
        for stimulus in n_in_tiles..n_stimuli {
            self.add::<S, 1>(simd, stimulus);
        }
    }
}

impl AddOuterProducts<'_> {
    /// Adds the products of `N` stimuli.
    #[inline(always)]
    fn add<S: Simd, const N: usize>(&mut self, simd: S, first: usize) {
        let n_outputs = self.dl_dw.len();
        let n_columns = self.dl_dw[0].len();
        let x_of_stimulus = |i| &self.x[i * self.n_inputs + self.start..][..n_columns];
        let x: [_; N] = array::from_fn(|i| x_of_stimulus(first + i));
        let g_of_output = |j| -> [_; N] { array::from_fn(|i| self.g[(first + i) * n_outputs + j]) };
        let g: Vec<_> = (0..n_outputs).map(g_of_output).collect();
        for start in (0..n_columns).step_by(S::F32_LANES) {
            let end = n_columns.min(start + S::F32_LANES);
            let mut x_vectors = [simd.splat_f32s(0.0); N];
            for i in 0..N {
                x_vectors[i] = load(simd, &x[i][start..end]);
            }
            for (row, g) in self.dl_dw.iter_mut().zip(&g) {
                let mut sum = load(simd, &row[start..end]);
                for i in 0..N {
                    sum = simd.mul_add_e_f32s(x_vectors[i], simd.splat_f32s(g[i]), sum);
                }
                store(simd, &mut row[start..end], sum);
            }
        }
    }
}

/// Loads a vector, or a part of one. Partial loads are slower.
#[inline(always)]
fn load<S: Simd>(simd: S, slice: &[f32]) -> S::f32s {
    match S::as_simd_f32s(slice) {
        ([vector], []) => *vector,
        _ => simd.partial_load_f32s(slice),
    }
}

/// Stores a vector, or a part of one.
#[inline(always)]
fn store<S: Simd>(simd: S, slice: &mut [f32], value: S::f32s) {
    match S::as_mut_simd_f32s(slice) {
        ([vector], []) => *vector = value,
        (_, slice) => simd.partial_store_f32s(slice, value),
    }
}

/// The numbers of a contiguous f32 tensor.
pub fn as_f32<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice()?[start..end]),
        None => bail!("expected a contiguous tensor, got {layout:?}: call contiguous() before"),
    }
}
