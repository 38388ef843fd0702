//! A small generator of reproducible bytes for payloads.
//!
//! Pure.

/// A generator of numbers (xorshift64*), the same ones for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// Fills a buffer with random bytes up to `random`, and with one letter behind it.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], random: usize) {
        let (noise, rest) = buffer.split_at_mut(random.min(buffer.len()));
        for chunk in noise.chunks_mut(8) {
            let bytes = self.number().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        rest.fill(b'x');
    }
}
