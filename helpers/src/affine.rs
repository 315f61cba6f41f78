//! The linear layer's `y = x @ w.t() + b`, with a backward pass of its own: most of the work of
//! training.
//!
//! candle's matmul also computes `dL/dx`, which we never need for the input layer: there `x` is the
//! recording, and `dL/dx` is as large. It also packs both matrices in each call, which is slow
//! for the long rows of few stimuli. Here each of the two passes reads `x` from memory once and
//! computes while the numbers are in the cache.
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
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::kernel::check_interrupt;

/// Stimuli of a tile in the forward pass: each weight that was loaded is used for all of them.
const ROW_TILE: usize = 4;
/// Weights of a tile of columns in the forward pass: few enough for the L2 cache, 1 MB.
const L2_FLOATS: usize = 1 << 18;
/// Stimuli and inputs of a tile in the backward pass: few enough for the L1 cache, 32 kB.
const GRAD_ROWS: usize = 32;
const GRAD_COLUMNS: usize = 256;
/// Outputs whose sums are in registers at once in the backward pass.
const GRAD_OUTPUTS: usize = 5;

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
        let dl_dw = || g.contiguous()?.apply_op2_no_bwd(x, &WeightGrad);
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

/// `g.t() @ x`, `(n_outputs, n_inputs)`.
struct WeightGrad;

impl CustomOp2 for WeightGrad {
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
        let (n_outputs, n_inputs) = (g_layout.dims()[1], x_layout.dims()[1]);
        let (g, x) = (as_f32(g, g_layout)?, as_f32(x, x_layout)?);
        let mut gradient = vec![0.0; n_outputs * n_inputs];
        // For each tile of columns, its part of the gradient: one slice per output.
        let mut tiles: Vec<Vec<&mut [f32]>> = Vec::new();
        tiles.resize_with(n_inputs.div_ceil(GRAD_COLUMNS), Vec::new);
        for row in gradient.chunks_mut(n_inputs) {
            for (tile, part) in tiles.iter_mut().zip(row.chunks_mut(GRAD_COLUMNS)) {
                tile.push(part);
            }
        }
        tiles.par_iter_mut().enumerate().for_each(|(i, gradient)| {
            let start = i * GRAD_COLUMNS;
            Arch::new().dispatch(WeightGradKernel { g, x, gradient, start, n_inputs });
        });
        Ok((CpuStorage::F32(gradient), (n_outputs, n_inputs).into()))
    }
}

/// Writes `g.t() @ x` for the inputs from `start` on to `gradient`, one slice per output.
struct WeightGradKernel<'a, 'b> {
    g: &'a [f32],
    x: &'a [f32],
    gradient: &'a mut [&'b mut [f32]],
    start: usize,
    n_inputs: usize,
}

/// `N` vectors of neighboring inputs. A vector that crosses the border of a cache line, 64 bytes,
/// takes twice as long to load.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Strip<V, const N: usize>([V; N]);

impl WithSimd for WeightGradKernel<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many vectors as there are registers for the sums.
        match S::F32_LANES {
            16 => self.run::<S, 4>(simd),
            _ => self.run::<S, 2>(simd),
        }
    }
}

impl WeightGradKernel<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(self, simd: S) {
        let Self { g, x, gradient, start, n_inputs } = self;
        let (n_outputs, width) = (gradient.len(), gradient[0].len());
        let strip_len = N * S::F32_LANES;
        let (n_groups, n_strips) = (n_outputs.div_ceil(GRAD_OUTPUTS), width.div_ceil(strip_len));
        let zeros = Strip([simd.splat_f32s(0.0); N]);
        // Outputs and inputs that are missing in the last group and strip are filled with zeros.
        let mut sums = vec![[zeros; GRAD_OUTPUTS]; n_groups * n_strips];
        let mut g_tile = vec![[0.0; GRAD_OUTPUTS]; n_groups * GRAD_ROWS];
        let mut x_tile = vec![zeros; n_strips * GRAD_ROWS];
        for (g, x) in g.chunks(GRAD_ROWS * n_outputs).zip(x.chunks(GRAD_ROWS * n_inputs)) {
            for (i, (g, x)) in g.chunks(n_outputs).zip(x.chunks(n_inputs)).enumerate() {
                for (group, g) in g.chunks(GRAD_OUTPUTS).enumerate() {
                    g_tile[group * GRAD_ROWS + i][..g.len()].copy_from_slice(g);
                }
                for (strip, x) in x[start..][..width].chunks(strip_len).enumerate() {
                    let Strip(vectors) = &mut x_tile[strip * GRAD_ROWS + i];
                    cast_slice_mut(vectors)[..x.len()].copy_from_slice(x);
                }
            }
            let n_rows = x.len() / n_inputs;
            for (g, sums) in g_tile.chunks(GRAD_ROWS).zip(sums.chunks_mut(n_strips)) {
                for (x, sums) in x_tile.chunks(GRAD_ROWS).zip(sums) {
                    *sums = add_products(simd, *sums, &g[..n_rows], &x[..n_rows]);
                }
            }
        }
        for (output, row) in gradient.iter_mut().enumerate() {
            let (group, i) = (output / GRAD_OUTPUTS, output % GRAD_OUTPUTS);
            let sums = &sums[group * n_strips..];
            for (part, sums) in row.chunks_mut(strip_len).zip(sums) {
                part.copy_from_slice(&cast_slice(&sums[i].0)[..part.len()]);
            }
        }
    }
}

/// Adds each stimulus' `g` times `x` to the sums.
#[inline(always)]
fn add_products<S: Simd, const N: usize>(
    simd: S,
    mut sums: [Strip<S::f32s, N>; GRAD_OUTPUTS],
    g: &[[f32; GRAD_OUTPUTS]],
    x: &[Strip<S::f32s, N>],
) -> [Strip<S::f32s, N>; GRAD_OUTPUTS] {
    for (g, Strip(x)) in g.iter().zip(x) {
        for (Strip(sums), g) in sums.iter_mut().zip(g) {
            let factor = simd.splat_f32s(*g);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(*x, factor, *sum);
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
