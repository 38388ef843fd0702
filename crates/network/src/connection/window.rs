//! How many bytes of records are read for the next write to a socket.
//!
//! Bytes that the socket does not accept were read in vain. A socket whose client reads steadily
//! accepts about as much each time before it is full, so that is what is read.

/// The most bytes that are read for one write.
pub(super) const WINDOW_BYTES: usize = 256 << 10;
/// The fewest bytes that are read for one write, unless fewer are left.
pub(super) const WINDOW_BYTES_MIN: usize = 16 << 10;

/// The size of the next window of one connection.
#[derive(Debug)]
pub(super) struct WindowSize {
    /// How many bytes the socket is expected to accept until it is full.
    expected: usize,
    /// How many bytes it has accepted since it was full.
    accepted: usize,
}

impl WindowSize {
    pub fn new() -> Self {
        Self {
            expected: WINDOW_BYTES,
            accepted: 0,
        }
    }

    /// Returns the size of the next window in bytes: what is left of the expected bytes, and beyond
    /// them little at first, then as much as the socket has accepted beyond them.
    pub fn next(&self) -> usize {
        let size = self.expected.abs_diff(self.accepted);
        size.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES)
    }

    /// Notes that the socket accepted `bytes`.
    pub fn on_accepted(&mut self, bytes: usize) {
        self.accepted = self.accepted.saturating_add(bytes);
    }

    /// Notes that the socket is full.
    pub fn on_full(&mut self) {
        self.expected = self.accepted;
        self.accepted = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes read and accepted by a socket that is full after each of `rounds`.
    fn read_and_accepted(rounds: &[usize]) -> (usize, usize) {
        let mut window = WindowSize::new();
        let (mut read, mut accepted) = (0, 0);
        for round in rounds {
            let mut room = *round;
            loop {
                let size = window.next();
                assert!((WINDOW_BYTES_MIN..=WINDOW_BYTES).contains(&size), "{size}");
                read += size;
                let part = size.min(room);
                window.on_accepted(part);
                accepted += part;
                room -= part;
                if part < size {
                    window.on_full();
                    break;
                }
            }
        }
        (read, accepted)
    }

    #[test]
    fn little_is_read_in_vain_for_a_steady_reader() {
        let (read, accepted) = read_and_accepted(&[100 << 10; 1_000]);
        assert!(read < accepted * 6 / 5, "{read} read, {accepted} accepted");
        let rounds: Vec<usize> = (0..1_000).map(|i| (80 + i * 7 % 40) << 10).collect();
        let (read, accepted) = read_and_accepted(&rounds);
        assert!(read < accepted * 3 / 2, "{read} read, {accepted} accepted");
    }

    #[test]
    fn the_least_is_read_for_a_client_that_does_not_read() {
        let (read, _) = read_and_accepted(&[0; 100]);
        assert_eq!(read, WINDOW_BYTES + 99 * WINDOW_BYTES_MIN);
    }

    #[test]
    fn a_socket_that_accepts_everything_gets_large_windows() {
        let mut window = WindowSize::new();
        assert_eq!(window.next(), WINDOW_BYTES);
        window.on_accepted(WINDOW_BYTES);
        assert_eq!(window.next(), WINDOW_BYTES_MIN, "more than was expected");
        window.on_accepted(WINDOW_BYTES);
        assert_eq!(window.next(), WINDOW_BYTES);
        window.on_full();
        assert_eq!(window.next(), WINDOW_BYTES);
    }
}
