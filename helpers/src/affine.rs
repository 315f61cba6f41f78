//! `y = x Wᵀ + b` with a backward pass of its own: what a linear layer computes, and by far the most
//! of what training computes.
//!
//! candle's own matrix product is right but slow for this: its backward pass also computes the
//! gradient of the responses `x`, as large as the recording, which nobody asks for; and it packs
//! both matrices anew each time, which pays for large square ones, not for the long rows of few
//! stimuli. Here each of the two passes reads `x` once from memory and does its sums while the
//! numbers are in the cache. Only the gradient of layers wider than [`NARROW`] is left to candle's
//! product, which is the faster there.
//!
//! | symbol | shape | what it is |
//! |---|---|---|
//! | `x` | `(n_stimuli, n_inputs)` | responses |
//! | `w` | `(n_outputs, n_inputs)` | weights |
//! | `b` | `(n_outputs,)` | biases |
//! | `y` | `(n_stimuli, n_outputs)` | output |
//! | `g` | `(n_stimuli, n_outputs)` | gradient of the loss with respect to `y` |
//!
//! `dL/dw = gᵀ x`, `dL/db = sum of g over stimuli`, `dL/dx = g w`.
//!
//! Every sum here is added up in an order that depends on the shapes and the processor alone, so its
//! result is the same with any number of threads.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Up to so many outputs the gradient of the weights is computed here.
const NARROW: usize = 32;
/// Stimuli that are worked on at a time, so that a number once loaded is used often.
const STIMULI: usize = 4;
/// Weights that are worked on at a time: few enough to stay in the cache, 1 MB.
const WEIGHTS: usize = 1 << 18;
/// Inputs that the gradient is worked out for at a time.
const BLOCK: usize = 1024;

/// `x wᵀ + b`, for f32 on the CPU and for any other tensors as candle computes it.
pub fn affine(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    if [x, w, b]
        .iter()
        .any(|t| t.dtype() != DType::F32 || !t.device().is_cpu())
    {
        return x.matmul(&w.t()?)?.broadcast_add(b);
    }
    let (x, w, b) = (x.contiguous()?, w.contiguous()?, b.contiguous()?);
    let y = product(&x.detach(), &w.detach())?.broadcast_add(&b.detach())?;
    x.apply_op3(&w, &b, Affine { y })
}

/// `x wᵀ`, `(n_stimuli, n_outputs)`.
fn product(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (n_stimuli, n_inputs) = x.dims2()?;
    let n_outputs = w.dim(0)?;
    let mut y = vec![0.0; n_stimuli * n_outputs];
    let of_a_thread = n_stimuli.div_ceil(rayon::current_num_threads());
    let of_a_thread = of_a_thread.next_multiple_of(STIMULI).max(STIMULI);
    with_numbers([x, w], |[x, w]| {
        x.par_chunks(of_a_thread * n_inputs)
            .zip(y.par_chunks_mut(of_a_thread * n_outputs))
            .for_each(|(x, y)| Arch::new().dispatch(ProductOfSome { x, w, y, n_inputs }));
    })?;
    Tensor::from_vec(y, (n_stimuli, n_outputs), x.device())
}

/// `x wᵀ` for some of the stimuli, added to `y`.
struct ProductOfSome<'a> {
    x: &'a [f32],
    w: &'a [f32],
    y: &'a mut [f32],
    n_inputs: usize,
}

impl WithSimd for ProductOfSome<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums at a time as there are registers for.
        match S::F32_LANES {
            16 => self.add::<S, 5>(simd),
            _ => self.add::<S, 3>(simd),
        }
    }
}

impl ProductOfSome<'_> {
    #[inline(always)]
    fn add<S: Simd, const OUTPUTS: usize>(self, simd: S) {
        let Self { x, w, y, n_inputs } = self;
        let (n_stimuli, n_outputs) = (x.len() / n_inputs, w.len() / n_inputs);
        let block = (WEIGHTS / n_outputs).clamp(64, 4096) / 64 * 64;
        for start in (0..n_inputs).step_by(block) {
            let end = (start + block).min(n_inputs);
            for first_s in (0..n_stimuli).step_by(STIMULI) {
                // Where there are fewer, the last one is computed again in place of the missing.
                let mut rows_x = [&x[..0]; STIMULI];
                for (i, row) in rows_x.iter_mut().enumerate() {
                    *row = &x[(first_s + i).min(n_stimuli - 1) * n_inputs..][start..end];
                }
                for first_o in (0..n_outputs).step_by(OUTPUTS) {
                    let mut rows_w = [&w[..0]; OUTPUTS];
                    for (j, row) in rows_w.iter_mut().enumerate() {
                        *row = &w[(first_o + j).min(n_outputs - 1) * n_inputs..][start..end];
                    }
                    let sums = dot_products(simd, rows_x, rows_w);
                    for (i, sums) in sums.iter().enumerate().take(n_stimuli - first_s) {
                        for (j, sum) in sums.iter().enumerate().take(n_outputs - first_o) {
                            y[(first_s + i) * n_outputs + first_o + j] += sum;
                        }
                    }
                }
            }
        }
    }
}

/// The dot product of each of the one with each of the other; all have the same length.
#[inline(always)]
fn dot_products<S: Simd, const OUTPUTS: usize>(
    simd: S,
    x: [&[f32]; STIMULI],
    w: [&[f32]; OUTPUTS],
) -> [[f32; OUTPUTS]; STIMULI] {
    let whole = x[0].len() - x[0].len() % S::F32_LANES;
    let mut x_vectors = [&[][..]; STIMULI];
    for (vectors, row) in x_vectors.iter_mut().zip(x) {
        *vectors = S::as_simd_f32s(&row[..whole]).0;
    }
    let mut w_vectors = [&[][..]; OUTPUTS];
    for (vectors, row) in w_vectors.iter_mut().zip(w) {
        *vectors = S::as_simd_f32s(&row[..whole]).0;
    }
    let mut lanes = [[simd.splat_f32s(0.0); OUTPUTS]; STIMULI];
    for k in 0..whole / S::F32_LANES {
        for j in 0..OUTPUTS {
            let w = w_vectors[j][k];
            for i in 0..STIMULI {
                lanes[i][j] = simd.mul_add_e_f32s(x_vectors[i][k], w, lanes[i][j]);
            }
        }
    }
    let mut sums = [[0.0; OUTPUTS]; STIMULI];
    for i in 0..STIMULI {
        for j in 0..OUTPUTS {
            sums[i][j] = simd.reduce_sum_f32s(lanes[i][j]);
            for (x, w) in x[i][whole..].iter().zip(&w[j][whole..]) {
                sums[i][j] += x * w;
            }
        }
    }
    sums
}

/// `gᵀ x`, `(n_outputs, n_inputs)`.
fn weight_gradient(g: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (n_outputs, n_inputs) = (g.dim(1)?, x.dim(1)?);
    if n_outputs > NARROW {
        return g.t()?.matmul(x);
    }
    let mut gradient = vec![0.0; n_outputs * n_inputs];
    // For each block of inputs its part of the gradient, a slice an output.
    let mut blocks: Vec<Vec<&mut [f32]>> = Vec::new();
    blocks.resize_with(n_inputs.div_ceil(BLOCK), || Vec::with_capacity(n_outputs));
    for row in gradient.chunks_mut(n_inputs) {
        for (block, part) in blocks.iter_mut().zip(row.chunks_mut(BLOCK)) {
            block.push(part);
        }
    }
    with_numbers([g, x], |[g, x]| {
        blocks.par_iter_mut().enumerate().for_each(|(i, block)| {
            Arch::new().dispatch(WeightGradientOfBlock {
                g,
                x,
                block,
                start: i * BLOCK,
                n_inputs,
            });
        });
    })?;
    Tensor::from_vec(gradient, (n_outputs, n_inputs), x.device())
}

/// `gᵀ x` for the inputs from `start` on, added to one slice an output.
struct WeightGradientOfBlock<'a, 'b> {
    g: &'a [f32],
    x: &'a [f32],
    block: &'a mut [&'b mut [f32]],
    start: usize,
    n_inputs: usize,
}

impl WithSimd for WeightGradientOfBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            g,
            x,
            block,
            start,
            n_inputs,
        } = self;
        let (n_outputs, width) = (block.len(), block[0].len());
        let n_stimuli = x.len() / n_inputs;
        for first in (0..n_stimuli).step_by(STIMULI) {
            // Where there are fewer stimuli, the last one counts again, with a gradient of 0.
            let mut rows = [&x[..0]; STIMULI];
            for (i, row) in rows.iter_mut().enumerate() {
                let s = (first + i).min(n_stimuli - 1);
                *row = &x[s * n_inputs + start..][..width];
            }
            for (output, sums) in block.iter_mut().enumerate() {
                let mut gradients = [0.0; STIMULI];
                for (i, gradient) in gradients.iter_mut().enumerate().take(n_stimuli - first) {
                    *gradient = g[(first + i) * n_outputs + output];
                }
                add_weighted(simd, sums, rows, gradients);
            }
        }
    }
}

/// Adds the rows, each times its factor, to the sums.
#[inline(always)]
fn add_weighted<S: Simd>(
    simd: S,
    sums: &mut [f32],
    rows: [&[f32]; STIMULI],
    factors: [f32; STIMULI],
) {
    let [x0, x1, x2, x3] = rows;
    let ((x0, x0_rest), (x1, x1_rest)) = (S::as_simd_f32s(x0), S::as_simd_f32s(x1));
    let ((x2, x2_rest), (x3, x3_rest)) = (S::as_simd_f32s(x2), S::as_simd_f32s(x3));
    let (sums, sums_rest) = S::as_mut_simd_f32s(sums);
    let [g0, g1, g2, g3] = factors;
    for (x, g) in [x0_rest, x1_rest, x2_rest, x3_rest]
        .into_iter()
        .zip(factors)
    {
        for (sum, x) in sums_rest.iter_mut().zip(x) {
            *sum += x * g;
        }
    }
    let (g0, g1) = (simd.splat_f32s(g0), simd.splat_f32s(g1));
    let (g2, g3) = (simd.splat_f32s(g2), simd.splat_f32s(g3));
    let vectors = x0.iter().zip(x1).zip(x2.iter().zip(x3));
    for (sum, ((&x0, &x1), (&x2, &x3))) in sums.iter_mut().zip(vectors) {
        let two = simd.mul_add_e_f32s(x1, g1, simd.mul_add_e_f32s(x0, g0, *sum));
        *sum = simd.mul_add_e_f32s(x3, g3, simd.mul_add_e_f32s(x2, g2, two));
    }
}

/// Calls `f` with the numbers of two contiguous f32 tensors on the CPU.
fn with_numbers(tensors: [&Tensor; 2], f: impl FnOnce([&[f32]; 2])) -> Result<()> {
    let storages = tensors.map(|tensor| tensor.storage_and_layout());
    let [(first, first_layout), (second, second_layout)] = &storages;
    f([
        numbers(first, first_layout)?,
        numbers(second, second_layout)?,
    ]);
    Ok(())
}

fn numbers<'a>(storage: &'a candle_core::Storage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| candle_core::Error::Msg("affine: expected contiguous tensors".into()))?;
    match storage {
        candle_core::Storage::Cpu(storage) => Ok(&storage.as_slice::<f32>()?[start..end]),
        _ => Err(candle_core::Error::Msg(
            "affine: expected tensors on the CPU".into(),
        )),
    }
}

/// Puts an output that has been computed into candle's graph, with its backward pass.
struct Affine {
    y: Tensor,
}

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn cpu_fwd(
        &self,
        _x: &CpuStorage,
        _x_layout: &Layout,
        _w: &CpuStorage,
        _w_layout: &Layout,
        _b: &CpuStorage,
        _b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = self.y.flatten_all()?.to_vec1()?;
        Ok((CpuStorage::F32(y), self.y.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let g = g.contiguous()?.detach();
        let wanted = |tensor: &Tensor, gradient: &dyn Fn() -> Result<Tensor>| {
            tensor.track_op().then(gradient).transpose()
        };
        Ok((
            wanted(x, &|| g.matmul(&w.detach()))?,
            wanted(w, &|| weight_gradient(&g, &x.detach()))?,
            wanted(b, &|| g.sum(0))?,
        ))
    }
}
