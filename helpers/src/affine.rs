//! The linear layer's `y = x @ w.t() + b`, with a backward pass of its own. This is most of the work
//! of training.
//!
//! The backward pass of candle's matmul also computes `dL/dx`, which we never need for the input
//! layer: there `x` is the recording, and `dL/dx` is as large. The forward pass of candle's matmul
//! packs both matrices in each call, which is slow for the long rows of few stimuli. Here the
//! forward pass reads `x` from memory once and computes while the numbers are in the cache.
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

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::kernel::check_interrupt;

/// Stimuli of a tile: each weight that was loaded is used for all of them.
const ROW_TILE: usize = 4;
/// Weights of a tile of columns: few enough for the L2 cache, 1 MB.
const L2_FLOATS: usize = 1 << 18;

/// `x @ w.t() + b`: with the sums of this module for f32 on the CPU, else with candle's.
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
        let mut y = vec![0.0; n_stimuli * n_outputs];
        let rows_per_thread = n_stimuli
            .div_ceil(rayon::current_num_threads())
            .next_multiple_of(ROW_TILE)
            .max(ROW_TILE);
        x.par_chunks(rows_per_thread * n_inputs)
            .zip(y.par_chunks_mut(rows_per_thread * n_outputs))
            .for_each(|(x, y)| {
                Arch::new().dispatch(MatmulKernel { x, w, y, n_inputs });
                for (i, y) in y.iter_mut().enumerate() {
                    *y += b[i % n_outputs];
                }
            });
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

/// Adds `x @ w.t()` for some of the stimuli to `y`.
struct MatmulKernel<'a> {
    x: &'a [f32],
    w: &'a [f32],
    y: &'a mut [f32],
    n_inputs: usize,
}

impl WithSimd for MatmulKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many outputs at a time as there are registers for their sums.
        match S::F32_LANES {
            16 => self.run::<S, 5>(simd),
            _ => self.run::<S, 3>(simd),
        }
    }
}

impl<'a> MatmulKernel<'a> {
    #[inline(always)]
    fn run<S: Simd, const OUTPUTS: usize>(self, simd: S) {
        let Self { x, w, y, n_inputs } = self;
        let n_outputs = w.len() / n_inputs;
        let width = (L2_FLOATS / n_outputs).clamp(64, 4096) / 64 * 64;
        for start in (0..n_inputs).step_by(width) {
            let end = n_inputs.min(start + width);
            let rows = |matrix: &'a [f32]| -> Vec<&'a [f32]> {
                let rows = matrix.chunks(n_inputs);
                rows.map(|row| &row[start..end]).collect()
            };
            let (x, w) = (rows(x), rows(w));
            for (x, y) in x.chunks(ROW_TILE).zip(y.chunks_mut(ROW_TILE * n_outputs)) {
                for (first_output, w) in (0..n_outputs).step_by(OUTPUTS).zip(w.chunks(OUTPUTS)) {
                    let sums = dot_products::<S, OUTPUTS>(simd, tile(x), tile(w));
                    for (y, sums) in y.chunks_mut(n_outputs).zip(&sums) {
                        for (y, sum) in y[first_output..].iter_mut().zip(&sums[..w.len()]) {
                            *y += sum;
                        }
                    }
                }
            }
        }
    }
}

/// Up to `N` rows as an array. The last row fills the places that are left.
#[inline(always)]
fn tile<'a, const N: usize>(rows: &[&'a [f32]]) -> [&'a [f32]; N] {
    array::from_fn(|i| rows[i.min(rows.len() - 1)])
}

/// The dot products of each row of `x` with each row of `w`; all rows have the same length.
#[inline(always)]
fn dot_products<S: Simd, const OUTPUTS: usize>(
    simd: S,
    x: [&[f32]; ROW_TILE],
    w: [&[f32]; OUTPUTS],
) -> [[f32; OUTPUTS]; ROW_TILE] {
    let n_vectors = x[0].len() / S::F32_LANES;
    // With array::map in place of the loops, the sums take a third longer.
    let (mut x_vectors, mut w_vectors) = ([&[][..]; ROW_TILE], [&[][..]; OUTPUTS]);
    for (vectors, row) in x_vectors.iter_mut().zip(x) {
        *vectors = &S::as_simd_f32s(row).0[..n_vectors];
    }
    for (vectors, row) in w_vectors.iter_mut().zip(w) {
        *vectors = &S::as_simd_f32s(row).0[..n_vectors];
    }
    let mut lanes = [[simd.splat_f32s(0.0); OUTPUTS]; ROW_TILE];
    for k in 0..n_vectors {
        for j in 0..OUTPUTS {
            for i in 0..ROW_TILE {
                lanes[i][j] = simd.mul_add_e_f32s(x_vectors[i][k], w_vectors[j][k], lanes[i][j]);
            }
        }
    }
    let tail = n_vectors * S::F32_LANES;
    let mut sums = [[0.0; OUTPUTS]; ROW_TILE];
    for i in 0..ROW_TILE {
        for j in 0..OUTPUTS {
            sums[i][j] = simd.reduce_sum_f32s(lanes[i][j]);
            for (x, w) in x[i][tail..].iter().zip(&w[j][tail..]) {
                sums[i][j] += x * w;
            }
        }
    }
    sums
}

/// The numbers of a contiguous f32 tensor.
pub fn as_f32<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice()?[start..end]),
        None => bail!("expected a contiguous tensor, got {layout:?}: call contiguous() before"),
    }
}
