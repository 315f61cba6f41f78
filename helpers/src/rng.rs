//! The random numbers of PyTorch (on the CPU) and of NumPy's `numpy.random.seed`, value for value.
//!
//! Both use the generator MT19937 with the same seeding. They differ in how they turn its 32-bit
//! draws into other numbers. Here a generator is a value: functions that draw from it take it as an
//! argument.

use std::f32::consts::{FRAC_1_SQRT_2, PI};
use std::f64::consts::TAU;

use rand_mt::Mt;

/// PyTorch's default CPU generator.
///
/// ```
/// use helpers::TorchRng;
/// // torch.manual_seed(1); torch.rand(3)
/// let mut rng = TorchRng::manual_seed(1);
/// assert_eq!(rng.rand(3), [0.7576316, 0.27931088, 0.40306926]);
/// ```
#[derive(Clone, Debug)]
pub struct TorchRng {
    mt: Mt,
    /// The second of the two normal numbers that are made at a time.
    next_normal: Option<f64>,
}

impl TorchRng {
    /// As `torch.manual_seed(seed)`; as in PyTorch, only the lower 32 bits of `seed` count.
    pub fn manual_seed(seed: u64) -> Self {
        Self { mt: Mt::new(seed as u32), next_normal: None }
    }

    /// As `torch.rand(n)`: `n` numbers in `[0, 1)`.
    pub fn rand(&mut self, n: usize) -> Vec<f32> {
        self.uniform(n, 0.0, 1.0)
    }

    /// As `torch.empty(n).uniform_(low, high)`: `n` numbers in `[low, high)`.
    pub fn uniform(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        const STEP: f32 = 1.0 / (1 << 24) as f32; // an f32 has 24 bits of precision
        let mut unit = || (self.mt.next_u32() & 0xff_ffff) as f32 * STEP;
        // One rounding, as PyTorch compiles it: two would differ in the last bit.
        (0..n).map(|_| unit().mul_add(high - low, low)).collect()
    }

    /// As `torch.randn(n)`: `n` numbers of the normal distribution with mean 0 and variance 1.
    ///
    /// They are PyTorch's numbers on x86-64 processors with AVX2. On other processors PyTorch's
    /// numbers differ in the last bits.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < 16 {
            return (0..n).map(|_| self.normal() as f32).collect();
        }
        let mut values = self.rand(n);
        values.chunks_exact_mut(16).for_each(box_muller);
        if !n.is_multiple_of(16) {
            let last = &mut values[n - 16..]; // new draws
            last.copy_from_slice(&self.rand(16));
            box_muller(last);
        }
        values
    }

    /// A normal number of double precision.
    fn normal(&mut self) -> f64 {
        if let Some(normal) = self.next_normal.take() {
            return normal;
        }
        let mut unit = || {
            let bits = u64::from(self.mt.next_u32()) << 32 | u64::from(self.mt.next_u32());
            (bits & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
        };
        let (sin, cos) = (TAU * unit()).sin_cos();
        let radius = (-2.0 * (-unit()).ln_1p()).sqrt();
        self.next_normal = Some(radius * sin);
        radius * cos
    }

    /// As `torch.randperm(n)`: the numbers `0..n` in random order.
    ///
    /// # Panics
    /// If `n` is above 214,748,363, where PyTorch changes to 64-bit draws.
    pub fn randperm(&mut self, n: usize) -> Vec<usize> {
        const END: usize = (u32::MAX / 20) as usize;
        assert!(n < END, "randperm: expected n below {END}, got {n}: draw fewer numbers");
        let mut order: Vec<usize> = (0..n).collect();
        for i in 0..n.saturating_sub(1) {
            let z = self.mt.next_u32() as usize % (n - i);
            order.swap(i, i + z);
        }
        order
    }

    /// Mini-batches for one epoch: the numbers `0..n` in random order, `batch_size` at a time, as
    /// `DataLoader(..., shuffle=True, generator=...)` gives them, epoch by epoch.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn batches(&mut self, n: usize, batch_size: usize) -> Vec<Vec<usize>> {
        assert!(batch_size > 0, "batches: expected a batch_size above 0, got 0: try 20");
        // DataLoader draws a seed of 64 bits for its workers, then the order, and then another order
        // that it does not use.
        let _ = (self.mt.next_u32(), self.mt.next_u32());
        let order = self.randperm(n);
        self.randperm(n);
        order.chunks(batch_size).map(<[usize]>::to_vec).collect()
    }
}

/// Turns 16 uniform numbers into normal ones, as PyTorch does eight at a time with AVX2. Logarithm,
/// sine and cosine are those of the library Cephes, with the roundings of PyTorch's compiler.
fn box_muller(values: &mut [f32]) {
    let (first, second) = values.split_at_mut(8);
    for (a, b) in first.iter_mut().zip(second) {
        let radius = (-2.0 * ln(1.0 - *a)).sqrt();
        let (sin, cos) = sin_cos(std::f32::consts::TAU * *b);
        (*a, *b) = (radius * cos, radius * sin);
    }
}

/// The polynomial with these coefficients, from the highest power on.
fn polynomial(x: f32, coefficients: &[f32]) -> f32 {
    coefficients.iter().fold(0.0, |sum, c| x.mul_add(sum, *c))
}

/// For x above 0: `x = (1 + m) 2^e`, with `1 + m` from `sqrt(1/2)` to `sqrt(2)`.
fn ln(x: f32) -> f32 {
    let mut e = (x.to_bits() >> 23) as f32 - 126.0;
    let mut m = f32::from_bits(x.to_bits() & 0x7f_ffff | 0x3f00_0000) - 1.0; // mantissa: 0.5 to 1
    if m < FRAC_1_SQRT_2 - 1.0 {
        e -= 1.0;
        m = 2.0 * m + 1.0;
    }
    #[rustfmt::skip]
    let coefficients = [
        0.070_376_836, -0.115_146_1, 0.116_769_984, -0.124_201_41, 0.142_493_23,
        -0.166_680_58, 0.200_007_14, -0.249_999_94, 0.333_333_3,
    ];
    let cubic = m * polynomial(m, &coefficients);
    let square = m * m;
    let rest = cubic.mul_add(square, e * -2.121_944_4e-4) - 0.5 * square;
    e.mul_add(0.693_359_4, m + rest)
}

/// For x of 0 or more: `x` is reduced to at most an eighth of the circle on either side of 0.
fn sin_cos(x: f32) -> (f32, f32) {
    let octant = (x * (4.0 / PI)) as u32;
    let octant = octant + octant % 2;
    let quarter_pi = [0.785_156_25f32, 2.418_756_5e-4, 3.774_895e-8]; // in parts, for precision
    let x = quarter_pi.iter().fold(x, |x, part| (octant as f32).mul_add(-part, x));
    let square = x * x;
    let cubic = square * polynomial(square, &[-1.951_529_6e-4, 8.332_161e-3, -0.166_666_55]);
    let sin = cubic.mul_add(x, x);
    let quartic = square * polynomial(square, &[2.443_315_7e-5, -1.388_731_6e-3, 0.041_666_646]);
    let cos = quartic.mul_add(square, -0.5 * square) + 1.0;
    match octant % 8 {
        0 => (sin, cos),
        2 => (cos, -sin),
        4 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// NumPy's legacy generator, the one behind `numpy.random.seed` and `numpy.random.choice`.
///
/// ```
/// use helpers::NumpyRng;
/// // numpy.random.seed(1); numpy.random.choice(216, 3)
/// assert_eq!(NumpyRng::seed(1).choice(216, 3), [37, 140, 72]);
/// ```
#[derive(Clone, Debug)]
pub struct NumpyRng(Mt);

impl NumpyRng {
    /// As `numpy.random.seed(seed)`.
    pub fn seed(seed: u32) -> Self {
        Self(Mt::new(seed))
    }

    /// As `numpy.random.choice(n, k)`: `k` of the numbers `0..n`, drawn with replacement.
    ///
    /// # Panics
    /// If `n` is 0 and `k` is not, as NumPy raises an error, or `n` is above 2^32.
    pub fn choice(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(
            n > 0 || k == 0,
            "choice: expected n of 1 or more, got n = 0, k = {k}: pass the number of rows to draw from"
        );
        (0..k).map(|_| self.up_to(n - 1)).collect()
    }

    /// As `numpy.random.choice(n, k, replace=False)`: `k` different numbers of `0..n`.
    ///
    /// # Panics
    /// If `k` is greater than `n`, as NumPy raises an error, or `n` is above 2^32.
    pub fn choice_without_replacement(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(
            k <= n,
            "choice_without_replacement: expected k at most n = {n}, got k = {k}: \
             draw fewer, or use choice"
        );
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let j = self.up_to(i);
            order.swap(i, j);
        }
        order.truncate(k);
        order
    }

    /// A number in `0..=max`: each draw is cut to as many bits as `max` has, and rejected if it is still
    /// above `max`.
    fn up_to(&mut self, max: usize) -> usize {
        let max = u32::try_from(max).expect("NumpyRng: expected n at most 2^32");
        if max == 0 {
            return 0; // NumPy draws nothing here
        }
        let mask = u32::MAX >> max.leading_zeros();
        loop {
            let value = self.0.next_u32() & mask;
            if value <= max {
                return value as usize;
            }
        }
    }
}
