//! The random numbers of PyTorch (on the CPU) and of NumPy's `numpy.random.seed`, value for value.
//!
//! Both are the generator MT19937 with the same seeding; they differ in how they turn its 32-bit
//! draws into other things. A generator here is a value that is passed to whatever draws from it.

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
pub struct TorchRng(Mt);

impl TorchRng {
    /// As `torch.manual_seed(seed)`; like there, only the lower 32 bits of `seed` count.
    pub fn manual_seed(seed: u64) -> Self {
        Self(Mt::new(seed as u32))
    }

    /// As `torch.rand(n)`: `n` numbers in `[0, 1)`.
    pub fn rand(&mut self, n: usize) -> Vec<f32> {
        self.uniform(n, 0.0, 1.0)
    }

    /// As `torch.empty(n).uniform_(low, high)`: `n` numbers in `[low, high)`.
    pub fn uniform(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        const STEP: f32 = 1.0 / (1 << 24) as f32; // a f32 has 24 bits of precision
        let mut unit = || (self.0.next_u32() & 0xff_ffff) as f32 * STEP;
        // One rounding, as PyTorch compiles it: two would differ in the last bit.
        (0..n).map(|_| unit().mul_add(high - low, low)).collect()
    }

    /// As `torch.randperm(n)`: the numbers `0..n` in random order.
    ///
    /// # Panics
    /// If `n` is above 214,748,363, where PyTorch changes to 64-bit draws.
    pub fn randperm(&mut self, n: usize) -> Vec<usize> {
        assert!(
            n < (u32::MAX / 20) as usize,
            "randperm: expected n below {}, got {n}: draw fewer numbers",
            u32::MAX / 20
        );
        let mut order: Vec<usize> = (0..n).collect();
        for i in 0..n.saturating_sub(1) {
            let z = self.0.next_u32() as usize % (n - i);
            order.swap(i, i + z);
        }
        order
    }

    /// Mini-batches for one epoch: the numbers `0..n` in random order, `batch_size` at a time, as
    /// `DataLoader(..., shuffle=True, generator=...)` hands them out epoch by epoch.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn batches(&mut self, n: usize, batch_size: usize) -> Vec<Vec<usize>> {
        assert!(batch_size > 0, "batches: expected a batch_size of 1 or more, got 0");
        // It draws a seed for its workers, of 64 bits, then the order, then another for what is
        // left when the samples are not to be drawn a whole number of times: nothing, here.
        let _ = (self.0.next_u32(), self.0.next_u32());
        let order = self.randperm(n);
        self.randperm(n);
        order.chunks(batch_size).map(<[usize]>::to_vec).collect()
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
            "choice: expected something to choose from (n at least 1), got n = 0, k = {k}"
        );
        (0..k).map(|_| self.up_to(n - 1)).collect()
    }

    /// As `numpy.random.choice(n, k, replace=False)`: `k` different ones of the numbers `0..n`.
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

    /// A number in `0..=max`: draws are cut to as many bits as `max` has, those above it rejected.
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
